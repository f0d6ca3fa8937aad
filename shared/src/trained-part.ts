/**
 * What of a model is trained, and in which layout it travels. Checkpoints are whole; updates lack what a plan freezes, and have for
 * each matrix of low rank the factor that is trained.
 */
import { ConsiliumError } from "./errors.ts";
import { isFrozen } from "./frozen.ts";
import { addProduct, drawFactor, factorName, isLowRank, type Draw } from "./low-rank.ts";
import { elementCount, vectorLength, type Manifest, type TensorSpec } from "./manifest.ts";
import type { Plan } from "./plan-schema.ts";

/** What of a plan says so. */
export type TrainedTerms = Pick<Plan["training"], "frozenBlocks" | "lowRank">;

/** A stretch of the model that is trained. */
export interface TrainedRun {
  /** Its elements in the model: from the first one to before the last. */
  readonly from: number;
  readonly to: number;
  /** Its elements in an update: as many, or those of a factor. */
  readonly updateFrom: number;
  readonly updateTo: number;
  /** Of a matrix of low rank its name and rows; null for tensors that travel as they are. */
  readonly product: { readonly weight: string; readonly inputs: number } | null;
}

export interface TrainedPart {
  /** The layout of updates. */
  readonly manifest: Manifest;
  /** Elements of the model before it. */
  readonly offset: number;
  /** In order, without a gap behind the offset. */
  readonly runs: readonly TrainedRun[];
}

/** Of a tensor of the model, whether updates carry its factor. */
export const travelsAsFactor = (name: string, { frozenBlocks, lowRank }: TrainedTerms): boolean =>
  lowRank !== undefined && isLowRank(name) && !isFrozen(name, frozenBlocks);

/** A tensor of the model as updates have it. */
export function trainedTensor<T extends Pick<TensorSpec, "name" | "shape">>(
  tensor: T,
  terms: TrainedTerms,
): T {
  const { name, shape } = tensor;
  if (terms.lowRank === undefined || !travelsAsFactor(name, terms)) return tensor;
  return { ...tensor, name: factorName(name), shape: [terms.lowRank.rank, shape[1] ?? 1] };
}

/** @throws manifest.mismatch where frozen weights are not the model's beginning, or are all that it has */
export function trainedPart({ tensors }: Manifest, terms: TrainedTerms): TrainedPart {
  const { frozenBlocks } = terms;
  const first = tensors.findIndex(({ name }) => !isFrozen(name, frozenBlocks));
  const trained = tensors.slice(Math.max(0, first));
  const isWhole = frozenBlocks === undefined;
  if (!isWhole && (first < 1 || trained.some(({ name }) => isFrozen(name, frozenBlocks)))) {
    throw new ConsiliumError("manifest.mismatch", { detail: "(frozen layers are not its beginning)" });
  }
  const offset = vectorLength({ tensors: tensors.slice(0, Math.max(0, first)) });
  return {
    manifest: { tensors: trained.map((tensor) => trainedTensor(tensor, terms)) },
    offset,
    runs: runsOf(trained, offset, terms),
  };
}

/** Neighbours that travel as they are make one run. */
function runsOf(trained: readonly TensorSpec[], offset: number, terms: TrainedTerms): readonly TrainedRun[] {
  const runs: TrainedRun[] = [];
  let [from, updateFrom] = [offset, 0];
  for (const tensor of trained) {
    const { name, shape } = tensor;
    const to = from + elementCount(shape);
    const updateTo = updateFrom + elementCount(trainedTensor(tensor, terms).shape);
    const product = travelsAsFactor(name, terms) ? { weight: name, inputs: shape[0] ?? 1 } : null;
    const before = runs.at(-1);
    if (product === null && before?.product === null) runs[runs.length - 1] = { ...before, to, updateTo };
    else runs.push({ from, to, updateFrom, updateTo, product });
    [from, updateFrom] = [to, updateTo];
  }
  return runs;
}

/**
 * Moves a whole model by an update, in place.
 * @param draw of the plan, where matrices are of low rank
 */
export function applyUpdate(
  values: Float32Array,
  update: Float32Array,
  { runs }: Pick<TrainedPart, "runs">,
  draw: Draw | null,
): void {
  for (const { from, to, updateFrom, updateTo, product } of runs) {
    const [moved, by] = [values.subarray(from, to), update.subarray(updateFrom, updateTo)];
    if (product === null) {
      for (let i = 0; i < moved.length; i++) moved[i] = (moved[i] ?? NaN) + (by[i] ?? NaN);
      continue;
    }
    addProduct(moved, 0, productOf(product, by, draw));
  }
}

/** A and B of a run. */
export function productOf(
  { weight, inputs }: NonNullable<TrainedRun["product"]>,
  factor: Float32Array,
  draw: Draw | null,
): Parameters<typeof addProduct>[2] {
  if (draw === null) throw new RangeError(`no factor is drawn for ${weight}`);
  return { drawn: drawFactor(draw, weight, inputs), factor, rank: draw.rank };
}
