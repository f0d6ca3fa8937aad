/** One region of an image, as if nothing had been around it. */
import type { StoredImage } from "./decode/stored-image.ts";
import type { Region } from "./header/ultrasound.ts";

/** @param region lies within the image */
export function cropTo(image: StoredImage, { left, top, width, height }: Region): StoredImage {
  const { columns, samples, values } = image;
  const line = width * samples;
  // A frame may be a view into a larger buffer; what is around the region must not travel with it.
  const cropped = values.slice(0, height * line);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * columns + left) * samples;
    cropped.set(values.subarray(start, start + line), y * line);
  }
  return { ...image, rows: height, columns: width, values: cropped };
}
