/**
 * What sites add up about their features, and the health that follows from the sum: exact and of all images together,
 * though no feature leaves a site. A feature is the encoder's mean over patches, divided by its length, so that every sum
 * has a bound.
 */
import { symmetricEigenvalues } from "./eigenvalues.ts";

/** Means over images. */
export interface FeatureMoments {
  /** E z, [D] */
  readonly first: Float64Array;
  /** The lower triangle of E z z', row by row, [D (D + 1) / 2] */
  readonly second: Float64Array;
  /** E |z - z*|^2, where z* is the feature of another view of the same image; 0 to 4. */
  readonly alignment: number;
}

export interface FeatureHealth {
  /**
   * exp of the entropy of the singular values over their sum (RankMe, Garrido et al. 2023, equation 1): the number of
   * directions that features use, from 1 to D.
   */
  readonly rankMe: number;
  /** tr(C)^2 / tr(C^2) of the covariance, from 1 to D; 0 where nothing varies. */
  readonly participationRatio: number;
  /** Mean standard deviation of the unit features' numbers: 1 / sqrt(D) where they are spread evenly, 0 collapsed. */
  readonly featureStdDev: number;
  /** E |z - z*|^2: how far apart two views of an image lie (Wang and Isola 2020), 0 to 4. */
  readonly alignment: number;
}

/** The standard deviation as a share of what evenly spread features of that width have: 1 at best, 0 collapsed. */
export const spreadOf = ({ featureStdDev }: FeatureHealth, width: number): number =>
  featureStdDev * Math.sqrt(width);

export const triangleLength = (width: number): number => (width * (width + 1)) / 2;

/** Adds up unit features, one image after the other. */
export class MomentSums {
  readonly #width: number;
  readonly #first: Float64Array;
  readonly #second: Float64Array;
  #alignment = 0;
  #count = 0;

  constructor(width: number) {
    this.#width = width;
    this.#first = new Float64Array(width);
    this.#second = new Float64Array(triangleLength(width));
  }

  /** @param feature of an image, and of another view of it, [D]; their lengths do not matter */
  add(feature: ArrayLike<number>, otherView: ArrayLike<number>): void {
    const [z, other] = [unit(feature), unit(otherView)];
    let at = 0;
    for (let i = 0; i < this.#width; i++) {
      const zi = z[i] ?? NaN;
      this.#first[i] = (this.#first[i] ?? NaN) + zi;
      for (let j = 0; j <= i; j++, at++) this.#second[at] = (this.#second[at] ?? NaN) + zi * (z[j] ?? NaN);
      this.#alignment += (zi - (other[i] ?? NaN)) ** 2;
    }
    this.#count += 1;
  }

  get count(): number {
    return this.#count;
  }

  /** @throws RangeError without a single image */
  means(): FeatureMoments {
    if (this.#count === 0) throw new RangeError("moments of no image");
    return {
      first: this.#first.map((sum) => sum / this.#count),
      second: this.#second.map((sum) => sum / this.#count),
      alignment: this.#alignment / this.#count,
    };
  }
}

/** A feature of zeros stays one. */
function unit(feature: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(feature);
  const length = Math.hypot(...values);
  return length === 0 ? values : values.map((value) => value / length);
}

export function featureHealth({ first, second, alignment }: FeatureMoments): FeatureHealth {
  const width = first.length;
  const raw = new Float64Array(width * width);
  const covariance = new Float64Array(width * width);
  let at = 0;
  for (let i = 0; i < width; i++) {
    for (let j = 0; j <= i; j++, at++) {
      const value = second[at] ?? NaN;
      const centred = value - (first[i] ?? NaN) * (first[j] ?? NaN);
      raw[i * width + j] = raw[j * width + i] = value;
      covariance[i * width + j] = covariance[j * width + i] = centred;
    }
  }
  // Sums that were rounded may make a variance of 0 a hair negative.
  const variances = Array.from({ length: width }, (_, i) => Math.max(0, covariance[i * width + i] ?? NaN));
  const trace = variances.reduce((sum, v) => sum + v, 0);
  const squares = covariance.reduce((sum, v) => sum + v * v, 0);
  return {
    rankMe: rankMe(symmetricEigenvalues(raw, width)),
    participationRatio: squares > 0 ? trace ** 2 / squares : 0,
    featureStdDev: variances.reduce((sum, v) => sum + Math.sqrt(v), 0) / width,
    alignment,
  };
}

/** @param eigenvalues of E z z': the squares of the features' singular values, but for a factor */
function rankMe(eigenvalues: Float64Array): number {
  const singular = eigenvalues.map((value) => Math.sqrt(Math.max(0, value)));
  const sum = singular.reduce((total, value) => total + value, 0);
  const entropy = singular.reduce((total, value) => {
    const share = value / sum;
    return share > 0 ? total - share * Math.log(share) : total;
  }, 0);
  return sum > 0 ? Math.exp(entropy) : 0;
}
