/**
 * What a site's images are like, as one vector of whole numbers: one histogram after the other, each with fixed bins and
 * each summing to SHARES however many images there are. So a small hospital counts as much as a large one, the vector
 * does not tell how many images a site has, and a sum over sites (in clear, or as the extras of a secure sum) is the
 * fingerprint of all of them together. A histogram of which a site knows nothing is all zeros.
 */

/** What each histogram of one site sums to. A secure sum of 32-bit numbers holds it for 200,000 sites. */
export const SHARES = 10_000;

/** Classes of manufacturers. Free text never becomes one. */
export const VENDORS = [
  "agfa",
  "canon",
  "carestream",
  "fujifilm",
  "ge",
  "hologic",
  "konica",
  "philips",
  "samsung",
  "shimadzu",
  "siemens",
  "other",
] as const;
export type Vendor = (typeof VENDORS)[number];

/** Steps of grey in the intensity histogram: 0 .. 255 in equal parts. */
export const INTENSITY_BINS = 32;
/**
 * The picture cut into 3 x 3 places, each with a histogram of how bright its pixels are beside the rest of the picture: in
 * ranks, which a vendor's tone curve does not change.
 */
export const PLACES_PER_SIDE = 3;
export const PLACE_LEVELS = 8;

export interface Group {
  readonly name: GroupName;
  /** For people. */
  readonly title: string;
  readonly bins: readonly string[];
  /**
   * From which distance on the site's images are called unlike the others'; null for what differs between any two
   * hospitals and means no harm. Measured values: docs/ingest.md.
   */
  readonly unlikeFrom: number | null;
}

export const GROUP_NAMES = [
  "modality",
  "bodyPart",
  "view",
  "size",
  "intensity",
  "place",
  "vendor",
  "spacing",
] as const;
export type GroupName = (typeof GROUP_NAMES)[number];

const steps = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => `${i}`);

/** In the vector's order. */
export const GROUPS: readonly Group[] = [
  // CR and DX differ in the detector, not in what is to be seen.
  {
    name: "modality",
    title: "modality",
    bins: ["radiograph", "mammogram", "CT", "MR", "US", "other"],
    unlikeFrom: 0.5,
  },
  {
    name: "bodyPart",
    title: "body part",
    bins: ["head", "neck", "chest", "breast", "abdomen", "pelvis", "spine", "upper limb", "lower limb"],
    unlikeFrom: 0.5,
  },
  { name: "view", title: "view", bins: ["frontal", "lateral", "craniocaudal", "other"], unlikeFrom: 0.5 },
  // Screenshots and thumbnails; not one detector beside another.
  { name: "size", title: "image size", bins: ["below 96", "96 to 1023", "from 1024"], unlikeFrom: 0.5 },
  { name: "intensity", title: "intensity", bins: steps(INTENSITY_BINS), unlikeFrom: 0.25 },
  {
    name: "place",
    title: "what lies where",
    bins: steps(PLACES_PER_SIDE ** 2 * PLACE_LEVELS),
    unlikeFrom: 0.1,
  },
  { name: "vendor", title: "vendor", bins: VENDORS, unlikeFrom: null },
  {
    name: "spacing",
    title: "pixel spacing",
    bins: ["0", "100", "150", "200", "400", "700", "1000", "2000"],
    unlikeFrom: null,
  },
];

/** Where each group's bins begin. */
export const GROUP_STARTS: ReadonlyMap<GroupName, number> = (() => {
  let next = 0;
  return new Map(
    GROUPS.map(({ name, bins }) => {
      const start = next;
      next += bins.length;
      return [name, start];
    }),
  );
})();

/** Numbers in a fingerprint. */
export const FINGERPRINT_LENGTH = GROUPS.reduce((sum, { bins }) => sum + bins.length, 0);

/** One group's bins of a fingerprint, or of a sum of several. */
export function binsOf(vector: Uint32Array, { name, bins }: Group): Uint32Array {
  const start = GROUP_STARTS.get(name) ?? 0;
  return vector.subarray(start, start + bins.length);
}

/** One value for each group. */
export function byGroup<T>(of: (name: GroupName) => T): Readonly<Record<GroupName, T>> {
  return {
    modality: of("modality"),
    bodyPart: of("bodyPart"),
    view: of("view"),
    size: of("size"),
    intensity: of("intensity"),
    place: of("place"),
    vendor: of("vendor"),
    spacing: of("spacing"),
  };
}
