/** From the weights that travel to all that a site trains with, and back, as the task declares its parameters. */
import { drawFactor, factorName, type Draw } from "@consilium/shared/low-rank";
import { elementCount } from "@consilium/shared/manifest";
import { trainedPart, type TrainedPart } from "@consilium/shared/trained-part";
import type { Plan } from "@consilium/shared/plan";
import { subtract } from "@consilium/shared/vector";
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

/**
 * The weights that a round starts from: those that travel, copies of them for those that follow, and factors of low rank.
 * @param draw of the plan; null where nothing is trained, and factors are zeros all
 */
export function weightsAtSite(task: Declared, shared: Float32Array, draw: Draw | null): Float32Array {
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
  for (const { sharing, follows, name, offset, shape } of places) {
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
