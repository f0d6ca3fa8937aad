/** Square charts as inline SVG: rates against rates, and points on a plane. See charts.ts. */
import { at, scale, ticks } from "./axes.ts";
import type { Line } from "./charts.ts";
import { markup, type Markup } from "./markup.ts";

const SIDE = 340;
const BOX = { left: 44, right: SIDE - 8, top: 8, bottom: SIDE - 44 };

export interface RateLine extends Line {
  readonly dashed: boolean;
  /** Share of all images behind each point, which is then drawn as a disc of that area; none draws the line alone. */
  readonly weights?: readonly number[];
}

export interface RateChartOptions {
  readonly label: string;
  readonly xName: string;
  readonly yName: string;
  /** Where the horizontal axis begins; it ends at 1, and the vertical one goes from 0 to 1. */
  readonly xFrom: number;
  /** A line to compare with. */
  readonly reference: readonly [from: { x: number; y: number }, to: { x: number; y: number }] | null;
  readonly empty: string;
}

/** Rates from 0 to 1 on both axes, of the same length. */
export function rateChart(lines: readonly RateLine[], options: RateChartOptions): Markup {
  const { label, xName, yName, xFrom, reference, empty } = options;
  if (lines.every(({ points }) => points.length === 0)) return markup`<p class="dim">${empty}</p>`;
  const x = scale(xFrom, 1, BOX.left, BOX.right);
  const y = scale(0, 1, BOX.bottom, BOX.top);
  return markup`<svg class="chart square" viewBox="0 0 ${SIDE} ${SIDE}" role="img" aria-label="${label}">
    ${ticks(0, 1, 0.2).map(
      (
        tick,
      ) => markup`<line class="grid" x1="${BOX.left}" x2="${BOX.right}" y1="${at(y, tick)}" y2="${at(y, tick)}"/>
      <text class="tick" x="${BOX.left - 7}" y="${at(y, tick) + 4}" text-anchor="end">${tick.toFixed(1)}</text>`,
    )}
    ${ticks(xFrom, 1, xFrom === 0 ? 0.2 : 0.1).map(
      (
        tick,
      ) => markup`<line class="grid" x1="${at(x, tick)}" x2="${at(x, tick)}" y1="${BOX.top}" y2="${BOX.bottom}"/>
      <text class="tick" x="${at(x, tick)}" y="${BOX.bottom + 17}" text-anchor="middle">${tick.toFixed(1)}</text>`,
    )}
    ${axisNames(xName, yName)}
    ${
      reference === null
        ? null
        : markup`<line class="chance" x1="${at(x, reference[0].x)}" y1="${at(y, reference[0].y)}" x2="${at(x, reference[1].x)}" y2="${at(y, reference[1].y)}"/>`
    }
    ${lines.map(
      ({
        className,
        dashed,
        points,
        weights,
      }) => markup`<g class="${className}"><polyline class="${dashed ? "dashed" : ""}" points="${points
        .map((point) => `${at(x, point.x)},${at(y, point.y)}`)
        .join(" ")}"/>
        ${points.map((point, i) => {
          const share = weights?.[i];
          if (share === undefined) return null;
          const radius = 1.5 + Math.round(90 * Math.sqrt(share)) / 10;
          return markup`<circle class="disc" cx="${at(x, point.x)}" cy="${at(y, point.y)}" r="${radius}"/>`;
        })}
      </g>`,
    )}
  </svg>`;
}

export interface PointGroup {
  readonly name: string;
  /** A class of data-style.ts that gives the colour; groups also differ in shape. */
  readonly className: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** Points on a plane whose axes have no unit. What lies near each other is alike; both axes have one scale. */
export function pointChart(
  groups: readonly PointGroup[],
  { label, xName, yName }: Pick<RateChartOptions, "label" | "xName" | "yName">,
): Markup {
  const points = groups.flatMap((group) => group.points);
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  const [xFrom, xTo] = extent(xs);
  const [yFrom, yTo] = extent(ys);
  const half = Math.max((xTo - xFrom) / 2, (yTo - yFrom) / 2, 1e-9) * 1.05;
  const x = scale((xFrom + xTo) / 2 - half, (xFrom + xTo) / 2 + half, BOX.left - 20, BOX.right);
  const y = scale((yFrom + yTo) / 2 - half, (yFrom + yTo) / 2 + half, BOX.bottom + 20, BOX.top);
  return markup`<svg class="chart square" viewBox="0 0 ${SIDE} ${SIDE}" role="img" aria-label="${label}">
    <rect class="frame" x="${BOX.left - 20}" y="${BOX.top}" width="${BOX.right - BOX.left + 20}" height="${BOX.bottom + 20 - BOX.top}"/>
    ${axisNames(xName, yName)}
    ${groups.map(
      ({ className, points: own }, i) =>
        markup`<path class="${className} mark" d="${own.map((point) => pointMark(i, at(x, point.x), at(y, point.y))).join("")}"/>`,
    )}
  </svg>`;
}

function axisNames(xName: string, yName: string): Markup {
  const middle = (BOX.top + BOX.bottom) / 2;
  return markup`<text class="tick" x="${(BOX.left + BOX.right) / 2}" y="${SIDE - 5}" text-anchor="middle">${xName}</text>
    <text class="tick" transform="translate(11 ${middle}) rotate(-90)" text-anchor="middle">${yName}</text>`;
}

const extent = (values: readonly number[]): [from: number, to: number] =>
  values.reduce<[number, number]>(
    ([from, to], value) => [Math.min(from, value), Math.max(to, value)],
    [Infinity, -Infinity],
  );

/** A disc, a square, a triangle, a diamond: for those who do not see colours. */
function pointMark(group: number, x: number, y: number): string {
  const start = `M${x} ${y}`;
  switch (group % 4) {
    case 0:
      return `${start}m-2.6 0a2.6 2.6 0 1 0 5.2 0a2.6 2.6 0 1 0-5.2 0z`;
    case 1:
      return `${start}m-2.3-2.3h4.6v4.6h-4.6z`;
    case 2:
      return `${start}m0-3l2.9 5h-5.8z`;
    default:
      return `${start}m0-3.2l3.2 3.2l-3.2 3.2l-3.2-3.2z`;
  }
}
