/** WebAssembly modules put together instruction by instruction (core specification 2.0, section 5); a kilobyte needs no compiler. */

export const [I32, F64, V128] = [0x7f, 0x7c, 0x7b];

export interface WasmFunction<Name extends string = string> {
  readonly name: Name;
  readonly params: readonly number[];
  readonly results: readonly number[];
  /** Types of its variables, numbered on from the parameters. */
  readonly variables: readonly number[];
  readonly instructions: readonly number[];
}

/** The functions and the memory that they work on, all exported; types, functions, memory, exports, code (section 5.5). */
function wasmModule(memoryBytes: number, functions: readonly WasmFunction[]): Uint8Array {
  const types = functions.map(({ params, results }) => [0x60, ...bytes(params), ...bytes(results)]);
  const pages = Math.ceil(memoryBytes / 65_536);
  const exported = functions.map(({ name }, i) => [...text(name), 0x00, i]);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vector(types)),
    ...section(3, vector(functions.map((_, i) => [i]))),
    ...section(5, vector([[0x00, ...unsigned(pages)]])),
    ...section(7, vector([[...text("memory"), 0x02, 0], ...exported])),
    ...section(10, vector(functions.map(code))),
  ]);
}

export const localGet = (index: number): number[] => [0x20, index];
export const localSet = (index: number): number[] => [0x21, index];

/** An instruction on 128 bits: an opcode behind the prefix 0xfd (section 5.4.8), and what belongs to it. */
export const simd = (opcode: number, ...rest: readonly number[]): number[] => [
  0xfd,
  ...unsigned(opcode),
  ...rest,
];

/** Sixteen bytes at a pointer and an offset onto the stack. */
export const load128 = (pointer: number, offset: number): number[] => [
  ...localGet(pointer),
  ...simd(0x00, 0x04, ...unsigned(offset)),
];

/** What is on the stack, at a pointer that lies under it. */
export const store128 = (offset: number): number[] => simd(0x0b, 0x04, ...unsigned(offset));

/** pointer <- pointer + step, which is at most 8191. */
export const advance = (pointer: number, step: number): number[] => [
  ...localGet(pointer),
  ...constant(step),
  0x6a,
  ...localSet(pointer),
];

/** do { body } while (counter -= step); the counter is a multiple of the step, and not 0. */
export const countedLoop = (counter: number, step: number, body: readonly number[]): number[] => [
  ...[0x03, 0x40],
  ...body,
  ...[...localGet(counter), ...constant(step), 0x6b, 0x22, counter],
  ...[0x0d, 0x00, 0x0b],
];

function code({ variables, instructions }: WasmFunction): number[] {
  const body = [...vector(variables.map((type) => [1, type])), ...instructions, 0x0b];
  return [...unsigned(body.length), ...body];
}

/** `i32.const` of a value from 0 to 8191, in signed LEB128 of two bytes (section 5.2.2). */
function constant(value: number): number[] {
  return [0x41, (value & 0x7f) | 0x80, value >> 7];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

function vector(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

const bytes = (items: readonly number[]): number[] => [...unsigned(items.length), ...items];

const text = (name: string): number[] => bytes([...Buffer.from(name)]);

/** Unsigned LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** The part of the interface that is needed; TypeScript knows it from a browser's library only. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: object };
}

type Exports<Name extends string> = { readonly memory: { readonly buffer: ArrayBuffer } } & Readonly<
  Record<Name, (...numbers: number[]) => number>
>;

/**
 * The functions, to be called, and their memory. Every Node.js that this project runs on has WebAssembly, whose memory is
 * little-endian everywhere.
 */
export function instantiate<Name extends string>(
  memoryBytes: number,
  functions: readonly WasmFunction<Name>[],
) {
  const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: WebAssemblyApi };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(wasmModule(memoryBytes, functions)));
  const exports = instance.exports as Exports<Name>;
  return { memory: new Uint8Array(exports.memory.buffer), loops: exports };
}
