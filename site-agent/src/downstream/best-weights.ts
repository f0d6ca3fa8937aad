/** Which weights of a training did best on patients kept back, and when to stop looking for better ones (Prechelt 1998). */

/** How good weights are on patients kept back. */
export interface Validation {
  /** Larger is better; null or NaN where these patients cannot say. */
  readonly score: (weights: Float32Array) => Promise<number | null>;
  /** What also a network that has learned nothing gets: such a score chooses nothing. */
  readonly floor: number;
}

/** How many looks without a better one end the training. */
const PATIENCE = 6;

export class BestWeights {
  #score: number;
  #looksSince = 0;
  /** Of the best look; null while none was above the floor. */
  weights: Float32Array | null = null;

  constructor(floor: number) {
    this.#score = floor;
  }

  isFinal(): boolean {
    return this.#looksSince >= PATIENCE;
  }

  /** @param counts whether a look that is no better counts towards the end: not while the learning rate rises */
  look(score: number | null, weights: Float32Array, counts: boolean): void {
    if (score === null || Number.isNaN(score)) return;
    if (score > this.#score) {
      this.#score = score;
      this.#looksSince = 0;
      this.weights = weights;
    } else if (counts && this.weights !== null) {
      this.#looksSince += 1;
    }
  }
}
