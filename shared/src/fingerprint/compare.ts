/** How far a site's images are from the other sites', by number and in words. */
import { binsOf, byGroup, GROUPS, type Group, type GroupName } from "./layout.ts";

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
  const distance = (group: Group): number | null => {
    const mine = binsOf(own, group);
    const others = binsOf(total, group).map((share, bin) => Math.max(0, share - (mine[bin] ?? 0)));
    return jensenShannon(mine, others);
  };
  const measured = GROUPS.map((group) => ({ group, distance: distance(group) }));
  const of = (name: GroupName): number | null =>
    measured.find(({ group }) => group.name === name)?.distance ?? null;
  return {
    distances: byGroup(of),
    unlike: measured
      .filter(({ group, distance }) => group.unlikeFrom !== null && (distance ?? 0) >= group.unlikeFrom)
      .sort((a, b) => (b.distance ?? 0) - (a.distance ?? 0))
      .map(({ group }) => group.name),
  };
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
