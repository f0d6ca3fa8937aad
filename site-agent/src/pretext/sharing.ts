/** From the weights that travel to all that a site trains with, and back, as the task declares its parameters. */
import { ConsiliumError } from "@consilium/shared/errors";
import { drawFactor, factorName, type Draw } from "@consilium/shared/low-rank";
import { elementCount } from "@consilium/shared/manifest";
import { trainedPart, type TrainedPart } from "@consilium/shared/trained-part";
import type { Plan } from "@consilium/shared/plan";
import { concatenate, subtract } from "@consilium/shared/vector";
import type { Parameter } from "../engine/types.ts";
import { manifestOf } from "../model/manifest.ts";
import type { PretextParameter, PretextTask } from "./types.ts";

type Declared = Pick<PretextTask, "parameters">;

export const allShared = (parameters: readonly Parameter[]): readonly PretextParameter[] =>
  parameters.map((parameter) => ({ ...parameter, sharing: "shared" }));

/** Those that travel, in order: the layout of checkpoints and updates. */
export const sharedParameters = ({ parameters }: Declared): readonly PretextParameter[] =>
  parameters.filter(({ sharing }) => sharing === "shared");

/** Of those that travel in checkpoints, what updates have: see shared/trained-part.ts. */
export const trainedOf = (task: Declared, { training }: Pick<Plan, "training">): TrainedPart =>
  trainedPart(manifestOf(sharedParameters(task)), training);

/** Of all weights, those that travel. Both are flat, in parameter order. */
export function sharedWeights(task: Declared, all: Float32Array): Float32Array {
  const places = placesOf(task);
  const length = places.reduce((sum, place) => sum + (place.sharing === "shared" ? place.length : 0), 0);
  const shared = new Float32Array(length);
  let at = 0;
  for (const { sharing, offset, length: own } of places) {
    if (sharing !== "shared") continue;
    shared.set(all.subarray(offset, offset + own), at);
    at += own;
  }
  return shared;
}

/**
 * What training made of a round's base, in the layout of updates.
 * @param all weights of the site, as the task has them
 */
export function updateOf(
  task: Declared,
  plan: Pick<Plan, "training">,
  { all, base }: { readonly all: Float32Array; readonly base: Float32Array },
): Float32Array {
  const { runs } = trainedOf(task, plan);
  const after = sharedWeights(task, all);
  const places = new Map(placesOf(task).map((place) => [place.name, place]));
  const update = new Float32Array(runs.at(-1)?.updateTo ?? 0);
  for (const { from, to, updateFrom, product } of runs) {
    if (product === null) {
      update.set(subtract(after.subarray(from, to), base.subarray(from, to)), updateFrom);
      continue;
    }
    const { offset, length } = found(places.get(factorName(product.weight)), product.weight);
    update.set(all.subarray(offset, offset + length), updateFrom);
  }
  return update;
}

/** Of all weights, those that the site keeps, flat, in parameter order. */
export function keptWeights(task: Declared, all: Float32Array): Float32Array {
  const kept = placesOf(task).filter(({ sharing }) => sharing === "kept");
  return concatenate(kept.map(({ offset, length }) => all.subarray(offset, offset + length)));
}

/**
 * Those that a site kept, or as every site begins with them. None of a task that keeps none.
 * @param kept as the site's last round left them; null before its first
 * @throws manifest.mismatch if they are another task's
 */
export function keptAtStart(
  task: Pick<PretextTask, "parameters" | "initialWeights">,
  { seed }: Pick<Plan, "seed">,
  kept: Float32Array | null,
): Float32Array {
  const length = placesOf(task).reduce(
    (sum, place) => sum + (place.sharing === "kept" ? place.length : 0),
    0,
  );
  if (length === 0) return new Float32Array();
  if (kept === null) return keptWeights(task, task.initialWeights(seed));
  if (kept.length !== length) throw new ConsiliumError("manifest.mismatch", { detail: "(the kept weights)" });
  return kept;
}

/** What a site adds to the weights that travel. */
export interface OwnWeights {
  /** See `keptAtStart`. */
  readonly kept: Float32Array;
  /** Of the plan; null where nothing is trained, and factors of low rank are zeros all. */
  readonly draw: Draw | null;
}

/** The weights that a round starts from: those that travel, copies of them for those that follow, and what is the site's own. */
export function weightsAtSite(
  task: Declared,
  shared: Float32Array,
  { kept, draw }: OwnWeights,
): Float32Array {
  const places = placesOf(task);
  const all = new Float32Array(places.reduce((sum, { length }) => sum + length, 0));
  const views = new Map<string, Float32Array>();
  let at = 0;
  for (const { name, sharing, offset, length } of places) {
    if (sharing !== "shared") continue;
    const view = shared.subarray(at, (at += length));
    all.set(view, offset);
    views.set(name, view);
  }
  let keptAt = 0;
  for (const { sharing, follows, name, offset, length, shape } of places) {
    if (sharing === "kept") all.set(kept.subarray(keptAt, (keptAt += length)), offset);
    if (sharing === "rebuilt") all.set(found(views.get(follows ?? ""), name), offset);
    if (typeof sharing === "object" && draw !== null) {
      all.set(drawFactor(draw, sharing.drawnFor, shape[0] ?? 1), offset);
    }
  }
  return all;
}

/** @throws RangeError: a mistake in the task */
function found<T>(source: T | undefined, name: string): T {
  if (source === undefined) throw new RangeError(`${name} is rebuilt from nothing`);
  return source;
}

interface Place extends Pick<PretextParameter, "name" | "shape" | "sharing"> {
  readonly follows: string | undefined;
  readonly offset: number;
  readonly length: number;
}

function placesOf({ parameters }: Declared): readonly Place[] {
  let end = 0;
  return parameters.map(({ name, shape, sharing, follows }) => {
    const length = elementCount(shape);
    const offset = end;
    end += length;
    return { name, shape, sharing, follows: follows?.parameter, offset, length };
  });
}
