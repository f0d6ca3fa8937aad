/** The same images for two threads that open one cache at different times, while files are added or volumes replaced. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { TrainingImages } from "./training-images.ts";

/**
 * The images of these keys, in this order, whatever else is there by now.
 * @throws cache.corrupt if one of them is gone
 */
export function inOrder<Images extends TrainingImages>(images: Images, keys: readonly string[]): Images {
  const { records, answers } = images;
  const isSame = records.length === keys.length && records.every(({ image }, i) => image === keys[i]);
  if (isSame) return images;
  const byKey = new Map(records.map(({ image }, place) => [image, place]));
  const places = keys.map((key) => {
    const place = byKey.get(key);
    if (place === undefined) throw new ConsiliumError("cache.corrupt", { detail: "(an image is gone)" });
    return place;
  });
  const moved = (indices: ArrayLike<number>): number[] => Array.from(indices, (i) => places[i] ?? NaN);
  return {
    ...images,
    records: places.flatMap((place) => records.slice(place, place + 1)),
    read: (indices: ArrayLike<number>, out: Uint8Array) => {
      images.read(moved(indices), out);
    },
    ...(answers !== undefined && { answers: (indices: ArrayLike<number>) => answers(moved(indices)) }),
  };
}
