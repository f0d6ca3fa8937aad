/** A cached image with what was said and what is true drawn over it, as one SVG with the picture inside. */
import { markup, type Markup } from "@consilium/shared/page/markup";
import { encode } from "fast-png";
import type { Rectangle } from "../localization/rectangles.ts";
import type { MaskSize } from "../segmentation/overlap.ts";
import type { CaseShapes, Saliency } from "../types.ts";
import { tellingLayer, type Picture } from "./planes.ts";

/** Truth is drawn last and dashed, so that both can be seen where they agree. */
export function overlay(picture: Picture, shapes: CaseShapes, label: string): Markup {
  const { cut, columns: width, rows: height } = picture;
  const draw = (mask: Uint8Array, className: string): Markup =>
    markup`<path class="${className}" d="${outlinePath(cut(mask), { width, height })}"/>`;
  return frameOf(
    picture,
    label,
    markup`${greyOf(picture)}
    ${
      shapes.kind === "masks"
        ? [
            ...shapes.said.map((mask) => draw(mask, "said")),
            ...shapes.truth.map((mask) => draw(mask, "truth")),
          ]
        : null
    }
    ${
      shapes.kind === "boxes"
        ? [...shapes.said.map((box) => frame(box, "said")), ...shapes.truth.map((box) => frame(box, "truth"))]
        : null
    }`,
  );
}

/** Stretched to the proportions of the body. */
const frameOf = ({ columns, rows, pixelHeight }: Picture, label: string, content: Markup): Markup =>
  markup`<svg class="case" viewBox="0 0 ${columns} ${rounded(rows * pixelHeight)}" role="img" aria-label="${label}">${
    pixelHeight === 1 ? content : markup`<g transform="scale(1 ${rounded(pixelHeight)})">${content}</g>`
  }</svg>`;

const rounded = (value: number): number => Math.round(value * 1000) / 1000;

/**
 * The image, darkened, under what spoke for the class (orange) and against it (blue), of volumes in the layer that told most; the
 * browser smooths from patch to patch.
 */
const FOR = [255, 157, 66] as const;
const AGAINST = [79, 168, 255] as const;

export function heat(picture: Picture, saliency: Saliency, label: string): Markup {
  const { grid } = saliency;
  const { map } = tellingLayer(saliency);
  const lights = new Uint8Array(4 * map.length);
  for (const [i, value] of map.entries()) {
    lights.set([...(value > 0 ? FOR : AGAINST), Math.round(200 * Math.abs(value))], 4 * i);
  }
  const { columns, rows } = picture;
  const lit = markup`<image href="${png(lights, { width: grid, height: grid }, 4)}" width="${columns}" height="${rows}"/>`;
  return frameOf(picture, label, markup`${greyOf(picture, "under")}${lit}`);
}

/** The borders between inside and outside, straight runs as one stroke each. */
export function outlinePath(mask: Uint8Array, { width, height }: MaskSize): string {
  const inside = (x: number, y: number): boolean =>
    x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] !== 0;
  const strokes: string[] = [];
  for (let line = 0; line <= height; line++) {
    for (const [start, length] of runs(width, (x) => inside(x, line - 1) !== inside(x, line))) {
      strokes.push(`M${start} ${line}h${length}`);
    }
  }
  for (let line = 0; line <= width; line++) {
    for (const [start, length] of runs(height, (y) => inside(line - 1, y) !== inside(line, y))) {
      strokes.push(`M${line} ${start}v${length}`);
    }
  }
  return strokes.join("");
}

function* runs(length: number, holds: (i: number) => boolean): Generator<[start: number, length: number]> {
  for (let i = 0; i < length; i++) {
    if (!holds(i)) continue;
    const start = i;
    while (i + 1 < length && holds(i + 1)) i += 1;
    yield [start, i + 1 - start];
  }
}

function frame({ left, top, right, bottom }: Rectangle, className: string): Markup {
  const [x, y, width, height] = [left, top, right - left, bottom - top].map((px) => Math.round(px * 10) / 10);
  return markup`<rect class="${className}" x="${x ?? 0}" y="${y ?? 0}" width="${Math.max(0, width ?? 0)}" height="${Math.max(0, height ?? 0)}"/>`;
}

const greyOf = ({ pixels, columns: width, rows: height }: Picture, className = "grey"): Markup =>
  markup`<image class="${className}" href="${png(pixels, { width, height }, 1)}" width="${width}" height="${height}" preserveAspectRatio="none"/>`;

function png(data: Uint8Array, { width, height }: MaskSize, channels: 1 | 4): string {
  const bytes = encode({ width, height, data, channels, depth: 8 });
  return `data:image/png;base64,${Buffer.from(bytes).toString("base64")}`;
}
