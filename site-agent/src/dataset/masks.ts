/** Masks of cached images: random access to fixed-size records beside the cache, each checked as it is read. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { errorCode } from "./files.ts";
import { knownOf, type Known } from "./known.ts";
import {
  damaged,
  maskRecordBytes,
  maskShardName,
  readMaskContents,
  recordsPerShard,
} from "./masks-format.ts";

export interface MaskSet {
  readonly classes: readonly string[];
  /** Side of the squares, and slices of volumes (1 for images): the cache's. */
  readonly sizePx: number;
  readonly depthPx: number;
  /** Keys of the images that somebody looked at. */
  readonly images: ReadonlySet<string>;
  /** What for: an empty mask says that a class is not there only where it is known. */
  readonly known: Known;
  /**
   * Copies an image's masks to `out`: classes x depthPx x sizePx^2 bytes, class after class, slice after slice, row-major;
   * coverage 0 .. 255 in the geometry of what is cached.
   * @throws cache.corrupt; RangeError for an image without masks or too small an `out`
   */
  read(image: string, out: Uint8Array): void;
  /** Of all that is in it, where it lies on a disk. */
  readonly digest?: string;
  close(): void;
}

/**
 * Opens the masks beside the cache in folder `dir`; null where none were given.
 * @throws cache.corrupt if a file is damaged or shorter than its index says
 */
export async function openMasks(dir: string): Promise<MaskSet | null> {
  const contents = await readMaskContents(dir);
  if (contents === null) return null;
  const { classes, sizePx, depthPx = 1, set, records } = contents;
  const recordBytes = maskRecordBytes(contents);
  const perShard = recordsPerShard(recordBytes);
  const places = new Map(records.map(({ image, crc }, index) => [image, { index, crc }]));
  const files: number[] = [];
  const close = (): void => {
    for (const file of files.splice(0)) closeSync(file);
  };
  try {
    for (let first = 0; first < records.length; first += perShard) {
      const file = openShard(join(dir, maskShardName(set, files.length)));
      files.push(file);
      if (fstatSync(file).size < Math.min(perShard, records.length - first) * recordBytes) throw damaged();
    }
  } catch (error) {
    close();
    throw error;
  }

  const read = (image: string, out: Uint8Array): void => {
    const place = places.get(image);
    const file = files[Math.floor((place?.index ?? 0) / perShard)];
    if (place === undefined || file === undefined) throw new RangeError("the image has no masks");
    if (out.length < recordBytes) throw new RangeError(`the masks do not fit in ${out.length} bytes`);
    const target = out.subarray(0, recordBytes);
    const offset = (place.index % perShard) * recordBytes;
    if (readSync(file, target, 0, recordBytes, offset) !== recordBytes) throw damaged();
    if (crc32(target) !== place.crc) throw damaged();
  };
  const digest = sha256(canonicalJson(records));
  const known = knownOf(
    records.map((record) => [record.image, record.known]),
    classes,
  );
  return { classes, sizePx, depthPx, images: new Set(places.keys()), known, digest, read, close };
}

/**
 * Coverage of images by these classes, whatever else the set has, 0 to 255: uint8 [images.length, slices, rows, columns, classes] as
 * what is cached; zeros of a class that the set does not have.
 * @throws cache.corrupt; RangeError for an image without masks
 */
export function coverageOf(
  masks: MaskSet,
  images: readonly string[],
  classes: readonly string[],
): Uint8Array {
  const places = masks.depthPx * masks.sizePx ** 2;
  const from = classes.map((name) => masks.classes.indexOf(name));
  const out = new Uint8Array(images.length * places * classes.length);
  const all = new Uint8Array(places * masks.classes.length);
  for (const [i, image] of images.entries()) {
    masks.read(image, all);
    for (const [c, plane] of from.entries()) {
      if (plane === -1) continue;
      for (let at = 0; at < places; at++) {
        out[(i * places + at) * classes.length + c] = all[plane * places + at] ?? 0;
      }
    }
  }
  return out;
}

function openShard(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (errorCode(error) === "ENOENT") throw damaged();
    throw error;
  }
}
