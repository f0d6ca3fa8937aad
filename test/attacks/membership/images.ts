/** Patients of whom each is in the training or not by the toss of a coin, with one image each. */
import { GREY_IMAGES } from "@consilium/shared/input-profile";
import { cacheLayout, type CachedRecord } from "../../../site-agent/src/dataset/cache-format.ts";
import { openImageCache, type CachedImages } from "../../../site-agent/src/dataset/cache.ts";
import { Random } from "../../../site-agent/src/dataset/random.ts";
import { imagesByPatient } from "../../../site-agent/src/training/private-batches.ts";
import { phantom } from "../inversion/phantoms.ts";

const PHANTOM_PX = 32;

/** Phantom radiographs of so many patients. */
export function phantomCache(patients: number): CachedImages {
  const images = Array.from({ length: patients }, (_, patient) =>
    Uint8Array.from(phantom(patient, PHANTOM_PX), Math.round),
  );
  return {
    ...cacheLayout(GREY_IMAGES, PHANTOM_PX),
    records: images.map((_, patient) => phantomRecord(patient)),
    read: (indices, out) => {
      for (let i = 0; i < indices.length; i++) {
        out.set(images[indices[i] ?? 0] ?? [], i * PHANTOM_PX ** 2);
      }
    },
    close: () => undefined,
  };
}

const phantomRecord = (patient: number): CachedRecord => ({
  image: String(patient),
  patient: String(patient),
  modality: "DX",
  view: null,
  bodyPart: null,
  rows: PHANTOM_PX,
  columns: PHANTOM_PX,
});

/** The first image of each patient of a site's image cache. @throws cache.missing, cache.corrupt */
export async function siteCache(folder: string): Promise<CachedImages> {
  const cache = await openImageCache(folder);
  return subset(
    cache,
    imagesByPatient(cache).map(([first = 0]) => first),
  );
}

export function subset(cache: CachedImages, places: readonly number[]): CachedImages {
  return {
    ...cache,
    records: places.flatMap((place) => cache.records[place] ?? []),
    read: (indices, out) => {
      cache.read(
        Array.from(indices, (index) => places[index] ?? -1),
        out,
      );
    },
  };
}

export interface Drawn {
  readonly members: readonly number[];
  readonly others: readonly number[];
  /** Whom the attacker has, for a model of its own. */
  readonly attackers: readonly number[];
}

/**
 * Each patient alone decides by chance, so that the same training with and without one of them differs by that one: the
 * neighbours of which differential privacy speaks.
 * @param attackersShare of all patients; of the rest `memberShare` are members
 */
export function draw(patients: number, memberShare: number, attackersShare: number, seed: number): Drawn {
  const random = new Random(seed, patients);
  const drawn = { members: [] as number[], others: [] as number[], attackers: [] as number[] };
  for (let patient = 0; patient < patients; patient++) {
    const attackers = random.uniform() < attackersShare;
    const member = random.uniform() < memberShare;
    drawn[attackers ? "attackers" : member ? "members" : "others"].push(patient);
  }
  return drawn;
}
