/**
 * The fingerprint as a masked vector: no update, one exact count for each bin, so that the unmasked sum is the fingerprint
 * of all sites together. It goes through the rounds of secagg/ like any update, in the round before the first.
 */
import { ConsiliumError } from "../errors.ts";
import type { TailTotals } from "../secagg/decode.ts";
import type { PrivateValues } from "../secagg/encode.ts";
import type { VectorLayout } from "../secagg/layout.ts";
import { vectorLayoutSchema } from "../secagg/layout-schema.ts";
import { binsOf, FINGERPRINT_LENGTH, GROUPS, SHARES, type Group } from "./layout.ts";

const extraOf = ({ name }: Pick<Group, "name">): string => `fingerprint:${name}`;

/** @param sites of the cohort */
export function fingerprintLayout(sites: number): VectorLayout {
  return vectorLayoutSchema.parse({
    sites,
    // Every site weighs the same, so that a sum over k sites says k and nothing of their sizes.
    examplesCap: 1,
    tensors: [],
    extras: GROUPS.map(({ name, bins }) => ({
      kind: "count",
      name: extraOf({ name }),
      length: bins.length,
      most: SHARES,
    })),
  });
}

/** What a site puts into the sum. */
export function fingerprintValues(vector: Uint32Array): Omit<PrivateValues, "roundingKey"> {
  const extras = GROUPS.map((group) => [extraOf(group), binsOf(vector, group)] as const);
  return { update: new Float32Array(0), examples: 1, extras: Object.fromEntries(extras) };
}

/**
 * The sum of the sites' fingerprints, out of what `decodeTail` gives.
 * @throws secagg.garbled unless every histogram is one that so many sites can have: whole ones, or nothing
 */
export function fingerprintSum({ examples: sites, extras }: TailTotals): Uint32Array {
  const sum = new Uint32Array(FINGERPRINT_LENGTH);
  for (const group of GROUPS) {
    const bins = extras[extraOf(group)] ?? new Float64Array(0);
    const shares = bins.reduce((total, share) => total + share, 0);
    const isSum = bins.length === group.bins.length && shares % SHARES === 0 && shares <= sites * SHARES;
    if (!isSum) throw new ConsiliumError("secagg.garbled");
    binsOf(sum, group).set(bins);
  }
  return sum;
}
