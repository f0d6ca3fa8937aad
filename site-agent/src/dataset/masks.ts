/** Masks of cached images: random access to fixed-size records beside the cache, each checked as it is read. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { errorCode } from "./files.ts";
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
  /** Keys of the images that somebody looked at; a class that was not found has an empty mask. */
  readonly images: ReadonlySet<string>;
  /**
   * Copies an image's masks to `out`: classes x depthPx x sizePx^2 bytes, class after class, slice after slice, row-major;
   * coverage 0 .. 255 in the geometry of what is cached.
   * @throws cache.corrupt; RangeError for an image without masks or too small an `out`
   */
  read(image: string, out: Uint8Array): void;
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
  return { classes, sizePx, depthPx, images: new Set(places.keys()), read, close };
}

function openShard(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (errorCode(error) === "ENOENT") throw damaged();
    throw error;
  }
}
