/** A cached image with what was said and what is true drawn over it, as one SVG with the picture inside. */
import { markup, type Markup } from "@consilium/shared/page/markup";
import { encode } from "fast-png";
import type { Rectangle } from "../localization/rectangles.ts";
import type { Case } from "../types.ts";

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

function picture(pixels: Uint8Array, sizePx: number): string {
  const png = encode({ width: sizePx, height: sizePx, data: pixels, channels: 1, depth: 8 });
  return `data:image/png;base64,${Buffer.from(png).toString("base64")}`;
}
