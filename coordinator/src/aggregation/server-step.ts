/** How the mean update moves the global model: the optimiser at the coordinator (Reddi et al. 2021, algorithm 1). */

/** What it carries from round to round, one number per weight and name; FedAvg carries nothing. */
export type ServerState = ReadonlyMap<string, Float32Array>;

export interface ServerSlice {
  /** A slice of the model that the round started from. */
  readonly base: Float32Array;
  /** The same slice of the mean update. */
  readonly mean: Float32Array;
  /** The same slice of the state; written in place. */
  readonly state: ServerState;
}

/**
 * Works in float64 by +, -, *, / and square roots alone, which IEEE 754 rounds alike everywhere, and rounds to float32
 * once: the same round gives the same bits on any machine.
 */
export interface ServerStep {
  /** @param length elements of the whole vector */
  init(length: number): ServerState;
  /** Element by element, so that it can be run slice by slice. @returns the slice of the next model */
  update(slice: ServerSlice): Float32Array;
}

/** A vector of the slice's state. */
export function vectorOf(state: ServerState, name: string): Float32Array {
  const vector = state.get(name);
  if (vector === undefined) throw new Error(`the server's state lacks ${name}`);
  return vector;
}
