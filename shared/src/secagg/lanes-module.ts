/** The loops of lanes.ts in WebAssembly, instruction by instruction. */
import {
  advance,
  countedLoop,
  I32,
  load128,
  localGet,
  simd,
  store128,
  type WasmFunction,
} from "../assembler.ts";

const LANE_OPCODES = { add32: 0xae, subtract32: 0xb1, add16: 0x8e, subtract16: 0x91 } as const;
type LaneLoop = keyof typeof LANE_OPCODES;
const LOOPS = Object.keys(LANE_OPCODES) as LaneLoop[];

/** What one turn of the loop adds; behind the end of a stretch it adds what nobody reads. */
export const TURN_BYTES = 64;

const [TARGET, SOURCE, BYTES] = [0, 1, 2];

/** Four functions (target, source, bytes), `bytes` a multiple of 64 from 64. */
export const laneLoops = (): readonly WasmFunction<LaneLoop>[] => LOOPS.map(laneLoop);

/** do { target[0..64] = target[0..64] OP source[0..64]; advance both } while (bytes -= 64) */
function laneLoop(name: LaneLoop): WasmFunction<LaneLoop> {
  const lanes = [0, 16, 32, 48].flatMap((offset) => [
    ...localGet(TARGET),
    ...load128(TARGET, offset),
    ...load128(SOURCE, offset),
    ...simd(LANE_OPCODES[name]),
    ...store128(offset),
  ]);
  const body = [...lanes, ...advance(TARGET, TURN_BYTES), ...advance(SOURCE, TURN_BYTES)];
  const instructions = countedLoop(BYTES, TURN_BYTES, body);
  return { name, params: [I32, I32, I32], results: [], variables: [], instructions };
}
