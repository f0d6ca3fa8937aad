/** From the weights that travel to all that a site trains with, and back, as the task declares its parameters. */
import { elementCount } from "@consilium/shared/manifest";
import { trainedPart, type TrainedPart } from "@consilium/shared/frozen";
import type { Plan } from "@consilium/shared/plan";
import type { Parameter } from "../engine/types.ts";
import { manifestOf } from "../model/manifest.ts";
import type { PretextParameter, PretextTask } from "./types.ts";

type Declared = Pick<PretextTask, "parameters">;

export const allShared = (parameters: readonly Parameter[]): readonly PretextParameter[] =>
  parameters.map((parameter) => ({ ...parameter, sharing: "shared" }));

/** Those that travel, in order: the layout of checkpoints and updates. */
export const sharedParameters = ({ parameters }: Declared): readonly PretextParameter[] =>
  parameters.filter(({ sharing }) => sharing === "shared");

/** Of those that travel in checkpoints, the ones that updates have: all but those that the plan freezes. */
export const trainedOf = (task: Declared, { training }: Pick<Plan, "training">): TrainedPart =>
  trainedPart(manifestOf(sharedParameters(task)), training.frozenBlocks);

/** Of all weights, those that travel. Both are flat, in parameter order. */
export function sharedWeights(task: Declared, all: Float32Array): Float32Array {
  const places = placesOf(task);
  const length = places.reduce((sum, place) => sum + (place.isShared ? place.length : 0), 0);
  const shared = new Float32Array(length);
  let at = 0;
  for (const { isShared, offset, length: own } of places) {
    if (!isShared) continue;
    shared.set(all.subarray(offset, offset + own), at);
    at += own;
  }
  return shared;
}

/** The weights that a round starts from: those that travel, and copies of them for those that follow. */
export function weightsAtSite(task: Declared, shared: Float32Array): Float32Array {
  const places = placesOf(task);
  const all = new Float32Array(places.reduce((sum, { length }) => sum + length, 0));
  const views = new Map<string, Float32Array>();
  let at = 0;
  for (const { name, isShared, offset, length } of places) {
    if (!isShared) continue;
    const view = shared.subarray(at, (at += length));
    all.set(view, offset);
    views.set(name, view);
  }
  for (const { isShared, follows, name, offset } of places) {
    if (isShared) continue;
    const source = views.get(follows ?? "");
    if (source === undefined) throw new RangeError(`${name} is rebuilt from nothing`);
    all.set(source, offset);
  }
  return all;
}

interface Place {
  readonly name: string;
  readonly isShared: boolean;
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
    return { name, isShared: sharing === "shared", follows: follows?.parameter, offset, length };
  });
}
