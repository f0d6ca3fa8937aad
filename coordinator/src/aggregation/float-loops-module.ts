/** The loops of float-loops.ts in WebAssembly, instruction by instruction. */
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
} from "@consilium/shared/assembler";

/** Of float32, in one turn of either loop. */
export const TURN_BYTES = 64;

const [SIXTEENTHS, EIGHTHS] = [
  [0, 16, 32, 48],
  [0, 8, 16, 24, 32, 40, 48, 56],
];

const [LOAD64_ZERO, ANY_TRUE, OR] = [0x5d, 0x53, 0x50];
const F32X4_SUB = 0xe5;
const [F64X2_PROMOTE_LOW, F64X2_SPLAT, F64X2_ADD, F64X2_MUL] = [0x5f, 0x14, 0xf0, 0xf2];

export const floatLoops = (): readonly WasmFunction<"addWeighted" | "hasNotFinite">[] => [
  addWeighted,
  hasNotFinite,
];

/**
 * (target, source, bytes of the source, weight): do { target[0..128] += weight * source[0..64]; advance both } while
 * (bytes -= 64). The products and sums are float64, each rounded once, as in JavaScript.
 */
const addWeighted = ((): WasmFunction<"addWeighted"> => {
  const [TARGET, SOURCE, BYTES, WEIGHT, WEIGHTS] = [0, 1, 2, 3, 4];
  const pairs = EIGHTHS.flatMap((offset) => [
    ...localGet(TARGET),
    ...load128(TARGET, 2 * offset),
    ...[...localGet(SOURCE), ...simd(LOAD64_ZERO, 0x03, offset), ...simd(F64X2_PROMOTE_LOW)],
    ...[...localGet(WEIGHTS), ...simd(F64X2_MUL), ...simd(F64X2_ADD)],
    ...store128(2 * offset),
  ]);
  const body = [...pairs, ...advance(TARGET, 2 * TURN_BYTES), ...advance(SOURCE, TURN_BYTES)];
  return {
    name: "addWeighted",
    params: [I32, I32, I32, F64],
    results: [],
    variables: [V128],
    instructions: [
      ...[...localGet(WEIGHT), ...simd(F64X2_SPLAT), ...localSet(WEIGHTS)],
      ...countedLoop(BYTES, TURN_BYTES, body),
    ],
  };
})();

/** (source, bytes): 1 if there is a NaN or an infinity, of which x - x is NaN; of all other numbers it has no bit. */
const hasNotFinite = ((): WasmFunction<"hasNotFinite"> => {
  const [SOURCE, BYTES, SEEN] = [0, 1, 2];
  const quarters = SIXTEENTHS.flatMap((offset) => [
    ...localGet(SEEN),
    ...[...load128(SOURCE, offset), ...load128(SOURCE, offset), ...simd(F32X4_SUB)],
    ...[...simd(OR), ...localSet(SEEN)],
  ]);
  return {
    name: "hasNotFinite",
    params: [I32, I32],
    results: [I32],
    variables: [V128],
    instructions: [
      ...countedLoop(BYTES, TURN_BYTES, [...quarters, ...advance(SOURCE, TURN_BYTES)]),
      ...[...localGet(SEEN), ...simd(ANY_TRUE)],
    ],
  };
})();
