/** How far a site's images are from the other sites', by number and in words. */
import { othersIn } from "./histogram.ts";
import { binsOf, byGroup, GROUPS, type GroupName } from "./layout.ts";

/** In [0, 1], or null where the site or the others say nothing about it. */
export type Distances = Readonly<Record<GroupName, number | null>>;

export interface Comparison {
  readonly distances: Distances;
  /** Groups in which the site is unlike the others, the furthest first. */
  readonly unlike: readonly GroupName[];
}

/**
 * Jensen-Shannon divergence in bits (Lin 1991, eq. 3.8 with equal weights): 0 for equal proportions, 1 where no bin is
 * filled in both. Null if either is empty.
 */
export function jensenShannon(a: ArrayLike<number>, b: ArrayLike<number>): number | null {
  const totals = [sum(a), sum(b)] as const;
  if (totals[0] === 0 || totals[1] === 0) return null;
  let divergence = 0;
  for (let i = 0; i < a.length; i++) {
    const p = (a[i] ?? 0) / totals[0];
    const q = (b[i] ?? 0) / totals[1];
    const mean = (p + q) / 2;
    if (p > 0) divergence += (p * Math.log2(p / mean)) / 2;
    if (q > 0) divergence += (q * Math.log2(q / mean)) / 2;
  }
  return Math.min(1, Math.max(0, divergence));
}

/**
 * A site beside all the others: its own share is taken out of the sum first, so that the numbers mean the same for three
 * sites and for thirty. Needs nothing but the site's own fingerprint and the sum.
 * @param total of all sites, this one included
 */
export function compareWithOthers(own: Uint32Array, total: Uint32Array): Comparison {
  return compareWith(own, othersIn(total, own));
}

/** @param others the sum of other sites, this one not among them */
export function compareWith(own: Uint32Array, others: Uint32Array): Comparison {
  const measured = new Map(
    GROUPS.map((group) => [group.name, jensenShannon(binsOf(own, group), binsOf(others, group))]),
  );
  return comparisonOf(byGroup((name) => measured.get(name) ?? null));
}

/** What the distances mean. */
export function comparisonOf(distances: Distances): Comparison {
  return {
    distances,
    unlike: GROUPS.filter(
      ({ name, unlikeFrom }) => unlikeFrom !== null && (distances[name] ?? 0) >= unlikeFrom,
    )
      .sort((a, b) => (distances[b.name] ?? 0) - (distances[a.name] ?? 0))
      .map(({ name }) => name),
  };
}

/** As a site reports them where only the sum is known: rounded to two decimals, which is what people read of them. */
export function inHundredths(distances: Distances): Distances {
  return byGroup((name) => {
    const distance = distances[name];
    return distance === null ? null : Math.round(distance * 100);
  });
}

export function fromHundredths(hundredths: Distances): Distances {
  return byGroup((name) => {
    const distance = hundredths[name];
    return distance === null ? null : distance / 100;
  });
}

/** For example "body part and intensity unlike the others (0.63)", or "like the others". */
export function verdictOf({ distances, unlike }: Comparison): string {
  const titles = GROUPS.filter(({ name }) => unlike.includes(name)).map(({ title }) => title);
  const [first] = unlike;
  if (first === undefined) return "like the others";
  return `${listed(titles)} unlike the others (${(distances[first] ?? 0).toFixed(2)})`;
}

function listed(words: readonly string[]): string {
  const last = words.at(-1) ?? "";
  return words.length < 2 ? last : `${words.slice(0, -1).join(", ")} and ${last}`;
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] ?? 0;
  return total;
}
