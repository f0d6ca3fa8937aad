/** Which test images a person should look at. */
import type { LabelledImage } from "../dataset/labels.ts";
import { recordBytes, type ImageCache } from "../dataset/types.ts";
import type { Case, CaseShapes } from "./types.ts";

const WORST = 12;
const TYPICAL = 4;

/**
 * The worst images, the worst first, then those in the middle.
 * @param goodness of each image, 0 to 1
 * @param sliceStep of volumes, see Case
 * @param draw calls back with what is drawn over each of the images
 */
export async function chooseCases(
  images: readonly LabelledImage[],
  goodness: readonly number[],
  cache: ImageCache,
  sliceStep: number,
  draw: (
    images: readonly LabelledImage[],
    onShapes: (image: LabelledImage, shapes: CaseShapes) => void,
  ) => Promise<void>,
): Promise<Case[]> {
  const ranked = images
    .map((image, i) => ({ image, goodness: goodness[i] ?? 0 }))
    .sort((a, b) => a.goodness - b.goodness);
  const worst = ranked.slice(0, Math.min(WORST, Math.ceil(ranked.length / 2)));
  const middle = Math.max(worst.length, Math.floor((ranked.length - TYPICAL) / 2));
  const typical = ranked.slice(middle, middle + TYPICAL);
  const chosen = [
    ...worst.map((each) => ({ ...each, choice: "worst" as const })),
    ...typical.map((each) => ({ ...each, choice: "typical" as const })),
  ];
  const shapesOf = new Map<number, CaseShapes>();
  await draw(
    chosen.map(({ image }) => image),
    ({ index }, shapes) => shapesOf.set(index, shapes),
  );
  return chosen.flatMap(({ image, goodness: value, choice }) => {
    const shapes = shapesOf.get(image.index);
    if (shapes === undefined) return [];
    const whole = new Uint8Array(recordBytes(cache));
    cache.read([image.index], whole);
    // Of several channels the first is shown.
    const { sizePx, depthPx } = cache;
    const pixels = whole.slice(0, depthPx * sizePx ** 2);
    const key = cache.records[image.index]?.image ?? "";
    return [{ image: key, choice, goodness: value, sizePx, depthPx, sliceStep, pixels, shapes }];
  });
}
