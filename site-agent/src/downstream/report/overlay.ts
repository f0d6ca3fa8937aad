/** A cached image with what was said and what is true drawn over it, as one SVG with the picture inside. */
import { markup, type Markup } from "@consilium/shared/page/markup";
import { encode } from "fast-png";
import type { Rectangle } from "../localization/rectangles.ts";
import type { Case, Saliency } from "../types.ts";

/** Truth is drawn first and dashed, so that both can be seen where they agree. */
export function overlay({ pixels, sizePx, shapes }: Case, label: string): Markup {
  return markup`<svg class="case" viewBox="0 0 ${sizePx} ${sizePx}" role="img" aria-label="${label}">
    <image href="${picture(pixels, sizePx)}" width="${sizePx}" height="${sizePx}"/>
    ${
      shapes.kind === "masks"
        ? [
            ...shapes.said.map((mask) => outline(mask, sizePx, "said")),
            ...shapes.truth.map((mask) => outline(mask, sizePx, "truth")),
          ]
        : null
    }
    ${
      shapes.kind === "boxes"
        ? [...shapes.said.map((box) => frame(box, "said")), ...shapes.truth.map((box) => frame(box, "truth"))]
        : null
    }
  </svg>`;
}

/** The image, darkened, under what spoke for the class (orange) and against it (blue); the browser smooths from patch to patch. */
const FOR = [255, 157, 66] as const;
const AGAINST = [79, 168, 255] as const;

export function heat({ pixels, sizePx }: Case, { grid, values }: Saliency, label: string): Markup {
  const lights = new Uint8Array(4 * values.length);
  for (const [i, value] of values.entries()) {
    lights.set([...(value > 0 ? FOR : AGAINST), Math.round(200 * Math.abs(value))], 4 * i);
  }
  return markup`<svg class="case" viewBox="0 0 ${sizePx} ${sizePx}" role="img" aria-label="${label}">
    <image class="under" href="${picture(pixels, sizePx)}" width="${sizePx}" height="${sizePx}"/>
    <image href="${png(lights, grid, 4)}" width="${sizePx}" height="${sizePx}"/>
  </svg>`;
}

const outline = (mask: Uint8Array, sizePx: number, className: string): Markup =>
  markup`<path class="${className}" d="${outlinePath(mask, sizePx)}"/>`;

/** The borders between inside and outside, straight runs as one stroke each. */
export function outlinePath(mask: Uint8Array, sizePx: number): string {
  const inside = (x: number, y: number): boolean =>
    x >= 0 && y >= 0 && x < sizePx && y < sizePx && mask[y * sizePx + x] !== 0;
  const strokes: string[] = [];
  for (let line = 0; line <= sizePx; line++) {
    for (const [start, length] of runs(sizePx, (x) => inside(x, line - 1) !== inside(x, line))) {
      strokes.push(`M${start} ${line}h${length}`);
    }
    for (const [start, length] of runs(sizePx, (y) => inside(line - 1, y) !== inside(line, y))) {
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

const picture = (pixels: Uint8Array, sizePx: number): string => png(pixels, sizePx, 1);

function png(data: Uint8Array, sidePx: number, channels: 1 | 4): string {
  const bytes = encode({ width: sidePx, height: sidePx, data, channels, depth: 8 });
  return `data:image/png;base64,${Buffer.from(bytes).toString("base64")}`;
}
