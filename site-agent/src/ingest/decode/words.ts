/** Unsigned words between the bytes of a file or decoder and the stored values: unpacking, order of samples, sign. */
import type { PixelFormat } from "../header/pixel-format.ts";
import { containerBits, type StoredValues } from "./stored-image.ts";

export type Words = Uint8Array | Uint16Array | Uint32Array;

/** A view where alignment allows, else a copy. Every platform that Node runs on here is little-endian. */
export function asWords(data: Uint8Array, size: number): Words {
  // Not a Buffer, whose slices are views.
  if (size === 1) return new Uint8Array(data.buffer, data.byteOffset, data.length);
  const aligned = data.byteOffset % size === 0 ? data : new Uint8Array(data);
  return size === 2
    ? new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length >> 1)
    : new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length >> 2);
}

export function newWords(bitsAllocated: number, length: number): Words {
  const bits = containerBits(bitsAllocated);
  return bits === 8
    ? new Uint8Array(length)
    : bits === 16
      ? new Uint16Array(length)
      : new Uint32Array(length);
}

/** `count` samples of `bits` bits each, packed from the lowest bit of each byte up (PS3.5 8.1.1). */
export function unpackBits(data: Uint8Array, firstBit: number, bits: number, count: number): Words {
  const out = newWords(bits, count);
  if (bits === 1) {
    for (let i = 0; i < count; i++) {
      const bit = firstBit + i;
      out[i] = ((data[bit >>> 3] ?? 0) >> (bit & 7)) & 1;
    }
    return out;
  }
  for (let i = 0; i < count; i++) {
    let bit = firstBit + i * bits;
    let value = 0;
    for (let taken = 0; taken < bits;) {
      const within = bit % 8;
      const take = Math.min(bits - taken, 8 - within);
      const part = ((data[Math.floor(bit / 8)] ?? 0) >> within) & (2 ** take - 1);
      value += part * 2 ** taken;
      taken += take;
      bit += take;
    }
    out[i] = value;
  }
  return out;
}

/** Planes one after the other to samples side by side. */
export function interleave(words: Words, samples: number): Words {
  const pixels = words.length / samples;
  const out = sameKind(words, words.length);
  for (let sample = 0; sample < samples; sample++)
    for (let pixel = 0; pixel < pixels; pixel++)
      out[pixel * samples + sample] = words[sample * pixels + pixel] ?? 0;
  return out;
}

/** Y1 Y2 Cb Cr for each two pixels of a row (PS3.3 C.7.6.3.1.2) to Y Cb Cr for each pixel. */
export function repeatChroma(words: Words): Words {
  const out = sameKind(words, (words.length / 2) * 3);
  for (let from = 0, to = 0; from < words.length; from += 4) {
    for (let pixel = 0; pixel < 2; pixel++) {
      out[to++] = words[from + pixel] ?? 0;
      out[to++] = words[from + 2] ?? 0;
      out[to++] = words[from + 3] ?? 0;
    }
  }
  return out;
}

function sameKind(words: Words, length: number): Words {
  if (words instanceof Uint8Array) return new Uint8Array(length);
  return words instanceof Uint16Array ? new Uint16Array(length) : new Uint32Array(length);
}

/** Keeps the BitsStored bits below and at `highBit`, and gives them their sign. */
export function canonical(words: Words, format: PixelFormat, highBit: number): StoredValues {
  const { bitsStored, bitsAllocated } = format;
  const signed = format.signed && bitsAllocated > 1;
  const fitting = inContainer(words, bitsAllocated);
  if (bitsStored === fitting.BYTES_PER_ELEMENT * 8) return signed ? asSigned(fitting) : fitting;
  const down = highBit + 1 - bitsStored;
  const fill = 32 - bitsStored;
  const out = sameKind(fitting, fitting.length);
  if (signed) {
    const target = asSigned(out);
    for (let i = 0; i < out.length; i++) target[i] = (((fitting[i] ?? 0) >>> down) << fill) >> fill;
    return target;
  }
  for (let i = 0; i < out.length; i++) out[i] = (((fitting[i] ?? 0) >>> down) << fill) >>> fill;
  return out;
}

/** Decoders give as many bytes as the codestream needs, which may be fewer than the header allocates, or more. */
function inContainer(words: Words, bitsAllocated: number): Words {
  const bits = containerBits(bitsAllocated);
  if (words.BYTES_PER_ELEMENT * 8 === bits) return words;
  return bits === 8
    ? Uint8Array.from(words)
    : bits === 16
      ? Uint16Array.from(words)
      : Uint32Array.from(words);
}

function asSigned(words: Words): StoredValues {
  const { buffer, byteOffset, length } = words;
  if (words instanceof Uint8Array) return new Int8Array(buffer, byteOffset, length);
  return words instanceof Uint16Array
    ? new Int16Array(buffer, byteOffset, length)
    : new Int32Array(buffer, byteOffset, length);
}
