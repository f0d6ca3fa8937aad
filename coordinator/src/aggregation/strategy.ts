/** How contributions become the next global model. One file per strategy, each `{init, update}` of pure functions. */
import type { Plan } from "@consilium/shared/plan";
import { fedavg } from "./fedavg.ts";

/** What a strategy carries from round to round, one number per weight and name; FedAvg carries nothing. */
export type StrategyState = ReadonlyMap<string, Float32Array>;

export interface StrategyStep {
  /** A slice of the model that the round started from. */
  readonly base: Float32Array;
  /** The same slice of the mean update, weighted by examples. */
  readonly mean: Float64Array;
  /** The same slice of the state; written in place. */
  readonly state: StrategyState;
}

export interface Strategy {
  /** @param length elements of the whole vector */
  init(length: number): StrategyState;
  /** Element by element, so that it can be run slice by slice. @returns the slice of the next model */
  update(step: StrategyStep): Float32Array;
}

type StrategyName = Plan["aggregation"]["strategy"];

export const STRATEGIES: Readonly<Record<StrategyName, Strategy>> = { fedavg };
