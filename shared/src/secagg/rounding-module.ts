/** The loops of rounding.ts in WebAssembly, eight elements in a turn, two in an instruction. */
import {
  advance,
  countedLoop,
  F64,
  I32,
  load128,
  localGet,
  localSet,
  simd,
  store128,
  V128,
  type WasmFunction,
} from "../assembler.ts";

/** What one turn rounds. */
export const TURN_ELEMENTS = 8;
const FLOAT_BYTES = 4;
const TURN_BYTES = TURN_ELEMENTS * FLOAT_BYTES;

type RoundingLoop = "round32" | "round16";

const [TARGET, SOURCE, NOISE, BYTES, BOUND, FACTOR, LEVELS] = [0, 1, 2, 3, 4, 5, 6];
// Each in all lanes of a variable.
const [HIGHEST, LOWEST, FACTORS, MOST, LEAST] = [7, 8, 9, 10, 11];
const [EXPONENTS, BIAS, TO_INTEGER, INSIDE, VALUES] = [12, 13, 14, 15, 16];
const VARIABLES = 10;

/** Of float64: with these bits above 32 others, it is 2^20 plus the others' integer times 2^-32. */
const EXPONENT_OF_2_20 = 0x4130_0000;
/** Added to an integer below 2^31 in magnitude, it leaves that integer in the lower 32 bits. */
const TWO_52_AND_51 = 2 ** 52 + 2 ** 51;

/**
 * Functions (target, source, noise, bytes of the source, bound, factor, levels) of which the last three are float64, float64
 * and int32, the bytes a multiple of 32 from 32. They return how many elements are within the bound.
 */
export function roundingLoops(): readonly WasmFunction<RoundingLoop>[] {
  return [roundingLoop("round32", 32), roundingLoop("round16", 16)];
}

function roundingLoop(name: RoundingLoop, bits: 16 | 32): WasmFunction<RoundingLoop> {
  const [first, second] = [quarter(0), quarter(16)];
  const rounded =
    bits === 32
      ? [...localGet(TARGET), ...first, ...store128(0), ...localGet(TARGET), ...second, ...store128(16)]
      : [...localGet(TARGET), ...first, ...second, ...simd(I16X8_NARROW_I32X4), ...store128(0)];
  const body = [
    ...rounded,
    ...advance(TARGET, (TURN_ELEMENTS * bits) / 8),
    ...advance(SOURCE, TURN_BYTES),
    ...advance(NOISE, TURN_BYTES),
  ];
  return {
    name,
    params: [I32, I32, I32, I32, F64, F64, I32],
    results: [I32],
    variables: Array.from({ length: VARIABLES }, () => V128),
    instructions: [...prepare(), ...countedLoop(BYTES, TURN_BYTES, body), ...countInside()],
  };
}

/** Four elements, as int32 on the stack. */
function quarter(offset: number): number[] {
  return [
    ...half(offset, LOWER_HALF, INTERLEAVE_LOWER),
    ...half(offset, UPPER_HALF, INTERLEAVE_UPPER),
    ...shuffle(LOWER_WORDS),
    ...[...localGet(MOST), ...simd(I32X4_MIN)],
    ...[...localGet(LEAST), ...simd(I32X4_MAX)],
  ];
}

/** Two of them, each in the lower 32 bits of a lane of 64: floor(clip(value) * factor + noise / 2^32). */
function half(offset: number, halfOf: readonly number[], interleave: readonly number[]): number[] {
  return [
    ...[...load128(SOURCE, offset), ...load128(SOURCE, offset), ...shuffle(halfOf)],
    ...[...simd(F64X2_PROMOTE_LOW), ...localSet(VALUES)],
    // A lane of ones is -1; NaN is not within.
    ...[...localGet(INSIDE), ...localGet(VALUES), ...simd(F64X2_ABS), ...localGet(HIGHEST)],
    ...[...simd(F64X2_LE), ...simd(I64X2_SUB), ...localSet(INSIDE)],
    ...[...localGet(VALUES), ...localGet(HIGHEST), ...simd(F64X2_PMIN)],
    ...[...localGet(LOWEST), ...simd(F64X2_PMAX), ...localGet(FACTORS), ...simd(F64X2_MUL)],
    ...[...load128(NOISE, offset), ...localGet(EXPONENTS), ...shuffle(interleave)],
    ...[...localGet(BIAS), ...simd(F64X2_SUB), ...simd(F64X2_ADD), ...simd(F64X2_FLOOR)],
    ...[...localGet(TO_INTEGER), ...simd(F64X2_ADD)],
  ];
}

function prepare(): number[] {
  const splat64 = (to: number, number: readonly number[]) => [
    ...number,
    ...simd(F64X2_SPLAT),
    ...localSet(to),
  ];
  const splat32 = (to: number, number: readonly number[]) => [
    ...number,
    ...simd(I32X4_SPLAT),
    ...localSet(to),
  ];
  return [
    ...splat64(HIGHEST, localGet(BOUND)),
    ...splat64(LOWEST, [...localGet(BOUND), F64_NEG]),
    ...splat64(FACTORS, localGet(FACTOR)),
    ...splat32(MOST, localGet(LEVELS)),
    ...[...localGet(INSIDE), ...localGet(MOST), ...simd(I32X4_SUB), ...localSet(LEAST)],
    ...[...constant128(Uint32Array.of(0, EXPONENT_OF_2_20, 0, EXPONENT_OF_2_20)), ...localSet(BIAS)],
    ...[...constant128(new Uint32Array(4).fill(EXPONENT_OF_2_20)), ...localSet(EXPONENTS)],
    ...[...constant128(new Float64Array(2).fill(TWO_52_AND_51)), ...localSet(TO_INTEGER)],
  ];
}

function countInside(): number[] {
  const lane = (index: number) => [...localGet(INSIDE), ...simd(I32X4_EXTRACT, index)];
  return [...lane(0), ...lane(2), 0x6a];
}

const constant128 = ({ buffer }: Uint32Array | Float64Array): number[] =>
  simd(0x0c, ...new Uint8Array(buffer));
const shuffle = (lanes: readonly number[]): number[] => simd(0x0d, ...lanes);

/** Four bytes of the first or (from 16) the second of two operands. */
const word = (at: number): number[] => [at, at + 1, at + 2, at + 3];
const LOWER_HALF = [0, 4, 0, 4].flatMap(word);
const UPPER_HALF = [8, 12, 8, 12].flatMap(word);
const INTERLEAVE_LOWER = [0, 16, 4, 20].flatMap(word);
const INTERLEAVE_UPPER = [8, 24, 12, 28].flatMap(word);
const LOWER_WORDS = [0, 8, 16, 24].flatMap(word);

const [I32X4_SPLAT, I32X4_SUB, I32X4_MIN, I32X4_MAX, I32X4_EXTRACT] = [0x11, 0xb1, 0xb6, 0xb8, 0x1b];
const [F64X2_SPLAT, F64X2_LE, F64X2_ABS, F64X2_FLOOR] = [0x14, 0x4b, 0xec, 0x75];
const [F64X2_ADD, F64X2_SUB, F64X2_MUL, F64X2_PMIN, F64X2_PMAX] = [0xf0, 0xf1, 0xf2, 0xf6, 0xf7];
const [F64X2_PROMOTE_LOW, I64X2_SUB, I16X8_NARROW_I32X4, F64_NEG] = [0x5f, 0xd1, 0x85, 0x9a];
