/** Images to hidden patches and back, and rows of them as a PNG. */
import { encode } from "fast-png";
import type { MaeConfig } from "../../../site-agent/src/pretext/mae.ts";

/** The hidden patches of an image that is standardised by its own mean and deviation, [M, P]. */
export function hiddenPatches(image: Float32Array, order: Int32Array, config: MaeConfig): Float32Array {
  const mean = image.reduce((sum, value) => sum + value, 0) / image.length;
  const variance = image.reduce((sum, value) => sum + (value - mean) ** 2, 0) / image.length;
  const { patchPx } = config.encoder;
  const hidden = order.subarray(config.visible);
  const length = patchPx ** 2;
  return Float32Array.from({ length: hidden.length * length }, (_, i) => {
    const at = pixelOf(config, hidden[Math.floor(i / length)] ?? 0, i % length);
    return ((image[at] ?? 0) - mean) / Math.sqrt(variance);
  });
}

/** Patches in their places, grey where the site had shown them to its encoder. */
export function asImage(patches: Float32Array, order: Int32Array, config: MaeConfig): Uint8Array {
  const { imagePx, patchPx } = config.encoder;
  const picture = new Uint8Array(imagePx ** 2).fill(GREY);
  const length = patchPx ** 2;
  for (const [i, value] of patches.entries()) {
    const patch = order[config.visible + Math.floor(i / length)] ?? 0;
    picture[pixelOf(config, patch, i % length)] = Math.max(0, Math.min(255, GREY + CONTRAST * value));
  }
  return picture;
}

/** Pictures beside each other, rows below each other, each pixel four wide. */
export function contactSheet(rows: readonly (readonly Uint8Array[])[], sizePx: number): Uint8Array {
  const across = Math.max(...rows.map((row) => row.length));
  const cell = sizePx * ZOOM + GAP;
  const [width, height] = [across * cell - GAP, rows.length * cell - GAP];
  const data = new Uint8Array(width * height).fill(255);
  for (const [y, row] of rows.entries()) {
    for (const [x, picture] of row.entries()) {
      for (let i = 0; i < (sizePx * ZOOM) ** 2; i++) {
        const [down, right] = [Math.floor(i / (sizePx * ZOOM)), i % (sizePx * ZOOM)];
        const from = Math.floor(down / ZOOM) * sizePx + Math.floor(right / ZOOM);
        data[(y * cell + down) * width + x * cell + right] = picture[from] ?? 0;
      }
    }
  }
  return encode({ width, height, data, channels: 1, depth: 8 });
}

const GREY = 128;
/** Grey levels for a standard deviation. */
const CONTRAST = 50;
const ZOOM = 2;
const GAP = 4;

function pixelOf({ encoder }: MaeConfig, patch: number, i: number): number {
  const { imagePx, patchPx } = encoder;
  const across = imagePx / patchPx;
  const row = Math.floor(patch / across) * patchPx + Math.floor(i / patchPx);
  return row * imagePx + (patch % across) * patchPx + (i % patchPx);
}
