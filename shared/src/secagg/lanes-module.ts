/** The loops of lanes.ts as a WebAssembly module of half a kilobyte, instruction by instruction. */

/** Opcodes behind the prefix 0xfd (WebAssembly core specification 2.0, section 5.4.8). */
const LANE_OPCODES = { add32: 0xae, subtract32: 0xb1, add16: 0x8e, subtract16: 0x91 } as const;
export type LaneLoop = keyof typeof LANE_OPCODES;
const LOOPS = Object.keys(LANE_OPCODES) as LaneLoop[];

/** What one turn of the loop adds; behind the end of a stretch it adds what nobody reads. */
export const TURN_BYTES = 64;

const I32 = 0x7f;
const [TARGET, SOURCE, BYTES] = [0, 1, 2];

/**
 * Four functions (target, source, bytes), `bytes` a multiple of 64 from 64, and the memory that they work on. The binary
 * format of section 5.5: types, functions, memory, exports, code.
 */
export function laneModule(memoryBytes: number): Uint8Array {
  const threeInts = [0x60, ...vector([[I32], [I32], [I32]]), ...vector([])];
  const pages = Math.ceil(memoryBytes / 65_536);
  const exported = LOOPS.map((loop, i) => [...text(loop), 0x00, i]);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vector([threeInts])),
    ...section(3, vector(LOOPS.map(() => [0]))),
    ...section(5, vector([[0x00, ...unsigned(pages)]])),
    ...section(7, vector([[...text("memory"), 0x02, 0], ...exported])),
    ...section(10, vector(LOOPS.map((loop) => loopBody(LANE_OPCODES[loop])))),
  ]);
}

/** do { target[0..64] = target[0..64] OP source[0..64]; advance both } while (bytes -= 64) */
function loopBody(opcode: number): number[] {
  const load = (pointer: number, offset: number) => [
    ...localGet(pointer),
    ...simd(0x00),
    ...memoryAt(offset),
  ];
  const lanes = [0, 16, 32, 48].flatMap((offset) => [
    ...localGet(TARGET),
    ...load(TARGET, offset),
    ...load(SOURCE, offset),
    ...simd(opcode),
    ...simd(0x0b),
    ...memoryAt(offset),
  ]);
  const advance = (pointer: number) => [...localGet(pointer), ...constant(TURN_BYTES), 0x6a, 0x21, pointer];
  const countDown = [...localGet(BYTES), ...constant(TURN_BYTES), 0x6b, 0x22, BYTES];
  const loop = [0x03, 0x40, ...lanes, ...advance(TARGET), ...advance(SOURCE), ...countDown, 0x0d, 0x00, 0x0b];
  const body = [...vector([]), ...loop, 0x0b];
  return [...unsigned(body.length), ...body];
}

function localGet(index: number): number[] {
  return [0x20, index];
}

function simd(opcode: number): number[] {
  return [0xfd, ...unsigned(opcode)];
}

/** Alignment 2^4 and an offset. */
function memoryAt(offset: number): number[] {
  return [0x04, ...unsigned(offset)];
}

/** `i32.const` of a value from 64 to 8191, whose signed LEB128 takes two bytes. */
function constant(value: number): number[] {
  return [0x41, (value & 0x7f) | 0x80, value >> 7];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

function vector(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function text(name: string): number[] {
  return [...unsigned(name.length), ...Buffer.from(name)];
}

/** Unsigned LEB128 (section 5.2.2). */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}
