/**
 * JPEG 2000 (ISO 15444-1) by OpenJPEG, built for WebAssembly with a block decoder of our own: see `openjpeg/README.md` beside
 * the sources, and docs/adr/0016. The module imports nothing: it computes, and can reach neither files nor the network.
 */
import { readFileSync } from "node:fs";

const MODULE = new URL("../../../openjpeg/openjpeg.wasm", import.meta.url);
/** A larger instance is dropped after its frame: memory that WebAssembly has taken never shrinks. */
const MOST_KEPT_BYTES = 2 ** 28;

/** `openjpeg/codec.c` */
interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly _initialize: () => void;
  /** Where to write a codestream of so many bytes; 0 without memory for it. */
  readonly input: (length: number) => number;
  /** @returns 1, or 0 for what cannot be decoded */
  readonly decode: (bytesPerSample: number) => number;
  readonly output: () => number;
  readonly output_length: () => number;
}

let compiled: WebAssembly.Module | null = null;
let instance: Exports | null = null;

/**
 * @returns samples of `bytesPerSample` bytes, pixel by pixel, little-endian
 * @throws an error of no kind of ours for what cannot be decoded; the instance, which may have trapped, is not used again
 */
export function decodeJpeg2000(codestream: Uint8Array, bytesPerSample: 1 | 2): Uint8Array {
  const codec = instance ?? instantiate();
  // Kept again only by a frame that was decoded.
  instance = null;
  const address = codec.input(codestream.length);
  if (address === 0) throw new RangeError("out of memory");
  new Uint8Array(codec.memory.buffer, address, codestream.length).set(codestream);
  if (codec.decode(bytesPerSample) !== 1) throw new RangeError("not decoded");
  const samples = new Uint8Array(codec.memory.buffer, codec.output(), codec.output_length()).slice();
  if (codec.memory.buffer.byteLength <= MOST_KEPT_BYTES) instance = codec;
  return samples;
}

function instantiate(): Exports {
  compiled ??= new WebAssembly.Module(readFileSync(MODULE));
  const { exports } = new WebAssembly.Instance(compiled);
  if (!isCodec(exports)) throw new TypeError("not the module that belongs here");
  exports._initialize();
  return exports;
}

function isCodec(
  exports: Readonly<Record<string, unknown>>,
): exports is Readonly<Record<string, unknown>> & Exports {
  const functions = ["_initialize", "input", "decode", "output", "output_length"];
  return (
    exports.memory instanceof WebAssembly.Memory &&
    functions.every((name) => typeof exports[name] === "function")
  );
}
