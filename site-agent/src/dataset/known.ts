/** Which classes somebody looked for on an image. Of all others nothing is known there, which does not mean that they are not there. */

/** Image key -> classes. */
export type Known = ReadonlyMap<string, ReadonlySet<string>>;

export const knows = (known: Known, image: string, label: string): boolean =>
  known.get(image)?.has(label) === true;

/** As it is stored: an image without a list was looked at for all classes that the set has. */
export function knownOf(
  images: Iterable<readonly [image: string, known: readonly string[] | undefined]>,
  classes: readonly string[],
): Known {
  const all = new Set(classes);
  return new Map([...images].map(([image, known]) => [image, known === undefined ? all : new Set(known)]));
}

/** Undefined where it is all that the set has, so that most images need no list. */
export function storedKnown(
  known: ReadonlySet<string>,
  classes: ReadonlySet<string>,
): readonly string[] | undefined {
  return known.size === classes.size && [...known].every((label) => classes.has(label))
    ? undefined
    : [...known].sort();
}

/** What is known of an image stays known. */
export function joinKnown(before: Known, own: Known): Known {
  const joined = new Map(before);
  for (const [image, classes] of own) joined.set(image, new Set([...(before.get(image) ?? []), ...classes]));
  return joined;
}
