/** What the images of a cache are like, in histograms alone (shared/src/fingerprint/layout.ts). */
import {
  GROUPS,
  INTENSITY_BINS,
  PLACE_LEVELS,
  PLACES_PER_SIDE,
  VENDORS,
  type GroupName,
} from "@consilium/shared/fingerprint/layout";
import { emptyCounts, fingerprintFrom, type Counts } from "@consilium/shared/fingerprint/histogram";
import { placeInSquare, type Placement } from "../ingest/resize.ts";
import type { CachedRecord } from "./cache-format.ts";
import { openImageCache } from "./cache.ts";
import { recordBytes, type ImageCache } from "./types.ts";

/** Images that are looked at for intensities, spread evenly over the cache; the records are all counted. */
const MOST_PICTURES = 2048;

/** Terms of DICOM (ingest/header/terms.ts) -> bin. What is in no list is not counted. */
const BINS_OF_TERMS = {
  modality: {
    radiograph: "CR DX PX RG",
    mammogram: "MG",
    CT: "CT",
    MR: "MR",
    US: "US IVUS",
    other: "ES IO NM OCT OP OPT OT PT RF SC SM XA XC",
  },
  bodyPart: {
    head: "BRAIN HEAD SKULL",
    neck: "NECK CSPINE",
    chest: "CHEST HEART",
    breast: "BREAST",
    abdomen: "ABDOMEN",
    pelvis: "PELVIS HIP",
    spine: "SPINE TSPINE LSPINE",
    "upper limb": "SHOULDER ARM ELBOW WRIST HAND",
    "lower limb": "LEG KNEE ANKLE FOOT",
  },
  view: {
    frontal: "AP PA",
    lateral: "LL RL RLD LLD RLO LLO LAO RAO ML LM",
    craniocaudal: "CC XCCL XCCM",
    other: "MLO LMO",
  },
} as const satisfies Partial<Record<GroupName, Readonly<Record<string, string>>>>;

/**
 * The fingerprint of a site's cached images.
 * @returns FINGERPRINT_LENGTH whole numbers in the layout of shared/src/fingerprint/layout.ts
 * @throws cache.corrupt
 */
export function fingerprintOf(records: readonly CachedRecord[], cache: ImageCache): Uint32Array {
  const counts = emptyCounts();
  for (const record of records) countRecord(counts, record);
  countPictures(counts, records, cache);
  return fingerprintFrom(counts);
}

/** The same of the cache in folder `dir`. @throws cache.missing, cache.corrupt */
export async function fingerprintOfCache(dir: string): Promise<Uint32Array> {
  const cache = await openImageCache(dir);
  try {
    return fingerprintOf(cache.records, cache);
  } finally {
    cache.close();
  }
}

function countRecord(counts: Counts, record: CachedRecord): void {
  const { modality, bodyPart, view, rows, columns, vendor, spacingUm } = record;
  countTerm(counts, "modality", modality);
  countTerm(counts, "bodyPart", bodyPart);
  countTerm(counts, "view", view);
  const side = Math.max(rows, columns);
  add(counts.size, side < 96 ? 0 : side < 1024 ? 1 : 2);
  if (vendor !== undefined) add(counts.vendor, VENDORS.indexOf(vendor));
  if (spacingUm !== undefined) {
    const bounds = GROUPS.find(({ name }) => name === "spacing")?.bins ?? [];
    add(
      counts.spacing,
      bounds.findLastIndex((from) => spacingUm >= Number(from)),
    );
  }
}

function countTerm(counts: Counts, group: keyof typeof BINS_OF_TERMS, term: string | null): void {
  const bins: Readonly<Record<string, string>> = BINS_OF_TERMS[group];
  const bin = Object.entries(bins).find(([, terms]) => term !== null && terms.split(" ").includes(term));
  const at = GROUPS.find(({ name }) => name === group)?.bins.indexOf(bin?.[0] ?? "") ?? -1;
  if (at >= 0) add(counts[group], at);
}

/**
 * Of a volume its middle slice, of several channels the first. What the letterbox around a picture adds is left out; a volume has none, as
 * it is laid on a grid of millimetres.
 */
function countPictures(counts: Counts, records: readonly CachedRecord[], cache: ImageCache): void {
  const { sizePx, depthPx } = cache;
  const whole = new Uint8Array(recordBytes(cache));
  const pixels = whole.subarray((depthPx >> 1) * sizePx ** 2, ((depthPx >> 1) + 1) * sizePx ** 2);
  const pictures = Math.min(MOST_PICTURES, records.length);
  for (let i = 0; i < pictures; i++) {
    const index = Math.floor((i * records.length) / pictures);
    const { rows = sizePx, columns = sizePx } = records[index] ?? {};
    cache.read([index], whole);
    const grid = { left: 0, top: 0, width: sizePx, height: sizePx };
    countPicture(counts, pixels, sizePx, depthPx > 1 ? grid : placeInSquare(rows, columns, sizePx));
  }
}

function countPicture(counts: Counts, pixels: Uint8Array, sizePx: number, placement: Placement): void {
  const { left, top, width, height } = placement;
  const greys = new Float64Array(256);
  const each = (visit: (grey: number, x: number, y: number) => void): void => {
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) visit(pixels[(top + y) * sizePx + left + x] ?? 0, x, y);
  };
  each((grey) => {
    add(greys, grey);
  });
  for (const [grey, found] of greys.entries()) add(counts.intensity, (grey * INTENSITY_BINS) >> 8, found);
  const levels = rankLevels(greys, width * height);
  each((grey, x, y) => {
    const place =
      Math.floor((y * PLACES_PER_SIDE) / height) * PLACES_PER_SIDE +
      Math.floor((x * PLACES_PER_SIDE) / width);
    add(counts.place, place * PLACE_LEVELS + (levels[grey] ?? 0));
  });
}

/**
 * The place of each grey among the picture's own pixels, from darkest to brightest in equal parts: what a vendor's tone
 * curve does not change.
 */
function rankLevels(greys: Float64Array, pixels: number): Uint8Array {
  let below = 0;
  return Uint8Array.from(greys, (found) => {
    const rank = (below + found / 2) / pixels;
    below += found;
    return Math.min(PLACE_LEVELS - 1, Math.floor(rank * PLACE_LEVELS));
  });
}

function add(counts: Float64Array, bin: number, count = 1): void {
  counts[bin] = (counts[bin] ?? 0) + count;
}
