/**
 * Fields of a masked vector that count how sites' images score, class by class: exact counts, of which the coordinator learns
 * the sum over all sites and no single one.
 */
import { aurocOfCounts, SCORE_BINS, total, type ScoreCounts } from "./auroc.ts";
import type { RoundEvaluation } from "./schema.ts";

/** What one site found, a member for each class. */
export type SiteScores = readonly ScoreCounts[];

/** What is scored: at most so many images of a site. */
export interface Scored {
  readonly classes: readonly string[];
  readonly images: number;
}

const counts = (name: string, length: number, most: number) =>
  ({ kind: "count", name, length, most }) as const;

/** Under names of its own, so that several such counts have a place in one vector. */
export class ScoreFields {
  readonly #sites: string;
  readonly #positives: string;
  readonly #negatives: string;

  constructor(prefix: string) {
    this.#sites = `${prefix}:sites`;
    this.#positives = `${prefix}:positives:`;
    this.#negatives = `${prefix}:negatives:`;
  }

  of({ classes, images }: Scored) {
    const bins = classes.flatMap((name) => [
      counts(this.#positives + name, SCORE_BINS, images),
      counts(this.#negatives + name, SCORE_BINS, images),
    ]);
    return [counts(this.#sites, 1, 1), ...bins];
  }

  /** Values for the fields, by name; zeros of a site that has too few images. */
  values({ classes }: Scored, found: SiteScores | null): Record<string, ArrayLike<number>> {
    const none = new Float64Array(SCORE_BINS);
    const bins = classes.flatMap((name, at): [string, Float64Array][] => [
      [this.#positives + name, found?.[at]?.positives ?? none],
      [this.#negatives + name, found?.[at]?.negatives ?? none],
    ]);
    return Object.fromEntries<ArrayLike<number>>([[this.#sites, [found === null ? 0 : 1]], ...bins]);
  }

  /** @param sums of the unmasked vector, by name @returns what they say, likely or not */
  read(sums: Readonly<Record<string, Float64Array>>): RoundEvaluation {
    const classes = Object.entries(sums).flatMap(([field, positives]) => {
      if (!field.startsWith(this.#positives)) return [];
      const name = field.slice(this.#positives.length);
      const negatives = sums[this.#negatives + name] ?? new Float64Array(0);
      const auroc = aurocOfCounts({ positives, negatives });
      return [{ class: name, positives: total(positives), negatives: total(negatives), auroc }];
    });
    return { sites: sums[this.#sites]?.[0] ?? 0, classes };
  }
}
