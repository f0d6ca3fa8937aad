/** What is known of the findings of labelled images, and how much each label counts. */
import type { Findings } from "./findings.ts";

/** Of one image and each finding: 1 there, 0 not there, null not known. */
export type Truth = readonly (0 | 1 | null)[];

/** Those that some image shows and some image is known not to show, sorted: only they can be learned. */
export function learnable(findings: Findings): readonly string[] {
  const images = [...findings.values()];
  const isAbsent = (name: string) =>
    images.some(({ present, unknown }) => !present.includes(name) && !unknown.includes(name));
  const shown = new Set(images.flatMap(({ present }) => present));
  return [...shown].filter(isAbsent).sort();
}

/** @param spoken names that the image's set speaks of at all */
export function truthOf(
  image: { readonly present: readonly string[]; readonly unknown: readonly string[] },
  names: readonly string[],
  spoken: ReadonlySet<string>,
): Truth {
  return names.map((name) => {
    if (!spoken.has(name) || image.unknown.includes(name)) return null;
    return image.present.includes(name) ? 1 : 0;
  });
}

/**
 * The weight of each label in the loss, [images, findings]: 0 where it is not known. The labels of a finding weigh as much together
 * as those of any other, however few are known.
 * @param balance lets those who have it and those who do not weigh the same
 */
export function labelWeights(truths: readonly Truth[], balance: boolean): number[][] {
  const [first] = truths;
  const scales = (first ?? []).map((_, c) => {
    const known = truths.map((truth) => truth[c] ?? null).filter((value) => value !== null);
    const there = known.filter((value) => value === 1).length;
    const counts = [known.length - there, there];
    const sides = counts.filter((count) => count > 0).length;
    return counts.map((count) => truths.length / (balance ? sides * count : known.length));
  });
  return truths.map((truth) => truth.map((value, c) => (value === null ? 0 : (scales[c]?.[value] ?? 0))));
}
