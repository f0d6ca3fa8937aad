/** A model's values, piece by piece, as a round's mean update moves them: see trained-part.ts for what updates have of a model. */
import { ConsiliumError } from "@consilium/shared/errors";
import { giveBack } from "@consilium/shared/give-back";
import { addProduct, type Draw } from "@consilium/shared/low-rank";
import { productOf, type TrainedPart, type TrainedRun } from "@consilium/shared/trained-part";
import type { Slice } from "./checked-values.ts";
import { firstNotFinite } from "./float-loops.ts";
import { toBytes } from "./float-stream.ts";
import type { ServerSlice, ServerState, ServerStep } from "./server-step.ts";

export interface Movement extends Pick<ServerSlice, "mean"> {
  readonly step: ServerStep;
  readonly state: ServerState;
  /** Of the plan, where matrices are of low rank. */
  readonly draw: Draw | null;
}

/**
 * What is yielded is good until the next is asked for.
 * @param pieces of the base, in order and without a gap
 * @throws vector.not-finite
 */
export async function* movedValues(
  pieces: AsyncIterable<Slice>,
  { runs }: Pick<TrainedPart, "runs">,
  movement: Movement,
): AsyncGenerator<Float32Array, void, undefined> {
  let at = 0;
  let product: ReturnType<typeof productOf> | null = null;
  for await (const { offset, values } of pieces) {
    const end = offset + values.length;
    for (let from = offset; from < end;) {
      const run = runs[at];
      // What is frozen lies before all that is trained.
      const isKept = run === undefined || from < run.from;
      const to = Math.min(end, (isKept ? run?.from : run.to) ?? end);
      const piece = values.subarray(from - offset, to - offset);
      if (isKept) {
        yield piece;
      } else if (run.product === null) {
        const start = run.updateFrom + from - run.from;
        yield* lending(stepped(movement, piece, start));
      } else {
        product ??= productOf(run.product, steppedFactor(movement, run), movement.draw);
        const moved = piece.slice();
        addProduct(moved, from - run.from, product);
        yield* lending(moved);
      }
      if (!isKept && to === run.to) {
        at++;
        product = null;
      }
      from = to;
    }
  }
}

/** A round's factor begins at zero, so that the strategy moves it from there. */
const steppedFactor = (movement: Movement, { updateFrom, updateTo }: TrainedRun): Float32Array =>
  stepped(movement, new Float32Array(updateTo - updateFrom), updateFrom);

function stepped({ step, state, mean }: Movement, base: Float32Array, start: number): Float32Array {
  const end = start + base.length;
  return step.update({
    base,
    mean: mean.subarray(start, end),
    state: new Map([...state].map(([name, vector]) => [name, vector.subarray(start, end)])),
  });
}

/** Left to the collector, a whole model would gather before it runs. */
function* lending(values: Float32Array): Generator<Float32Array, void> {
  if (firstNotFinite(values) >= 0) throw new ConsiliumError("vector.not-finite");
  yield values;
  giveBack(toBytes(values));
}
