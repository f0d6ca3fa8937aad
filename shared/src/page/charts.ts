/** Charts as inline SVG: no script, so they print and mail well. Colours come from the page's style. */
import { at, scale, ticks, tickStep, type Scale } from "./axes.ts";
import { markup, type Markup } from "./markup.ts";

/** A value with its 95 % interval. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export interface Line {
  readonly name: string;
  /** A class of data-style.ts that gives the colour. */
  readonly className: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** Drawn once for desks and once for telephones, where letters of the first would be half as large. */
const WIDTHS = { wide: 760, narrow: 360 } as const;
type Room = keyof typeof WIDTHS;

/** Style shows one of both; whoever cannot see them is told once. */
const drawn = (label: string, draw: (room: Room) => Markup): Markup =>
  markup`<div role="img" aria-label="${label}"><div class="for-wide">${draw("wide")}</div><div class="for-narrow">${draw("narrow")}</div></div>`;

export interface LineChartOptions {
  readonly label: string;
  readonly xName: string;
  /** Whether x counts something (rounds), or is a measure. */
  readonly counts: boolean;
  /** What to say where there is no line. */
  readonly empty: string;
}

export function lineChart(lines: readonly Line[], options: LineChartOptions): Markup {
  if (lines.every(({ points }) => points.length === 0)) return markup`<p class="dim">${options.empty}</p>`;
  return drawn(options.label, (room) => drawLines(lines, options, room));
}

function drawLines(lines: readonly Line[], options: LineChartOptions, room: Room): Markup {
  const width = WIDTHS[room];
  const height = room === "wide" ? 300 : 240;
  const box = { left: 48, right: width - 10, top: 10, bottom: height - 40 };
  const points = lines.flatMap((line) => line.points);
  const xs = points.map(({ x }) => x);
  const ys = points.map(({ y }) => y);
  const margin = Math.max(0.01, (Math.max(...ys) - Math.min(...ys)) * 0.06);
  const x = scale(
    Math.min(...xs),
    Math.max(...xs, Math.min(...xs) + (options.counts ? 1 : 1e-6)),
    box.left,
    box.right,
  );
  const y = scale(Math.min(...ys) - margin, Math.max(...ys) + margin, box.bottom, box.top);
  const step = tickStep((Math.max(...xs) - Math.min(...xs)) / (room === "wide" ? 12 : 6), options.counts);
  const xTicks = ticks(Math.min(...xs), Math.max(...xs), step);
  const yTicks = ticks(y.from, y.to, tickStep((y.to - y.from) / 5, false));
  const digits = yTicks.some((tick) => Math.abs(tick * 100 - Math.round(tick * 100)) > 1e-6) ? 3 : 2;
  return markup`<svg class="chart" viewBox="0 0 ${width} ${height}" aria-hidden="true">
    ${yTicks.map(
      (
        tick,
      ) => markup`<line class="grid" x1="${box.left}" x2="${box.right}" y1="${at(y, tick)}" y2="${at(y, tick)}"/>
        <text class="tick" x="${box.left - 8}" y="${at(y, tick) + 4}" text-anchor="end">${tick.toFixed(digits)}</text>`,
    )}
    ${xTicks.map((tick) => markup`<text class="tick" x="${at(x, tick)}" y="${box.bottom + 18}" text-anchor="middle">${tick}</text>`)}
    <text class="tick" x="${(box.left + box.right) / 2}" y="${height - 4}" text-anchor="middle">${options.xName}</text>
    ${lines.map(
      ({ className, points: own }) => markup`<g class="${className}">
        <polyline points="${own.map((p) => `${at(x, p.x)},${at(y, p.y)}`).join(" ")}"/>
        ${own.length <= 40 ? own.map((p) => markup`<circle cx="${at(x, p.x)}" cy="${at(y, p.y)}" r="2.2"/>`) : null}
      </g>`,
    )}
  </svg>`;
}

export interface Whisker {
  readonly name: string;
  readonly className: string;
  readonly interval: Interval;
  /** Single runs, drawn small. */
  readonly runs: readonly number[];
}

export interface WhiskerGroup {
  readonly name: string;
  readonly whiskers: readonly Whisker[];
}

/** Means with 95 % intervals on one axis, grouped by site: longer to the right is better. */
export function whiskerChart(groups: readonly WhiskerGroup[], options: WhiskerOptions): Markup {
  return drawn(options.label, (room) => drawWhiskers(groups, options, room));
}

interface WhiskerOptions {
  readonly label: string;
  readonly axis: string;
  readonly chance: number | null;
}

/** Where there is little room, names stand above their lines and not beside them. */
function drawWhiskers(groups: readonly WhiskerGroup[], options: WhiskerOptions, room: Room): Markup {
  const gapPx = 16;
  const width = WIDTHS[room];
  const headingPx = room === "wide" ? 0 : 24;
  const box = { left: room === "wide" ? 258 : 12, right: width - 64, top: 8 };
  const heights = groups.map(({ whiskers }) =>
    whiskers.map(({ name }) => (room === "wide" ? rowHeightPx(name) : NARROW_ROW_PX)),
  );
  const bottom = box.top + sum(heights.map(sum)) + groups.length * headingPx + (groups.length - 1) * gapPx;
  const lows = groups.flatMap(({ whiskers }) => whiskers.map(({ interval }) => interval.low));
  const from = Math.min(options.chance ?? 1, Math.floor(Math.min(1, ...lows) * 10) / 10);
  const x = scale(from, 1, box.left, box.right);
  let top = box.top;
  const rowsOf = groups.map(({ name, whiskers }, group) => {
    const heading = markup`<text class="group" x="0" y="${top + 16}">${name}</text>`;
    top += headingPx;
    const rows = whiskers.map((whisker, index) => {
      const heightPx = heights[group]?.[index] ?? 0;
      const row = drawWhisker(whisker, { top, heightPx, room, right: box.right }, x);
      top += heightPx;
      return row;
    });
    top += gapPx;
    return [heading, ...rows];
  });
  return markup`<svg class="chart" viewBox="0 0 ${width} ${bottom + 40}" aria-hidden="true">
    ${ticks(from, 1, 0.1).map((tick) => {
      const isChance = options.chance !== null && Math.abs(tick - options.chance) < 1e-9;
      return markup`<line class="${isChance ? "grid chance" : "grid"}" x1="${at(x, tick)}" x2="${at(x, tick)}" y1="${box.top}" y2="${bottom}"/>
        <text class="tick" x="${at(x, tick)}" y="${bottom + 16}" text-anchor="middle">${tick.toFixed(1)}</text>`;
    })}
    <text class="tick" x="${(box.left + box.right) / 2}" y="${bottom + 34}" text-anchor="middle">${options.axis}</text>
    ${rowsOf}
  </svg>`;
}

function drawWhisker(
  { name, className, interval, runs }: Whisker,
  row: { readonly top: number; readonly heightPx: number; readonly room: Room; readonly right: number },
  x: Scale,
): Markup {
  const isNarrow = row.room === "narrow";
  const y = isNarrow ? row.top + NARROW_ROW_PX - 12 : row.top + row.heightPx / 2;
  const lines = isNarrow ? [name] : wrap(name);
  const [low, high, value] = [interval.low, interval.high, interval.value].map((v) => at(x, v));
  return markup`<g class="${className}">
    ${lines.map((line, index) => {
      const baseline = isNarrow ? y - 12 : y + 4 + (index - (lines.length - 1) / 2) * LINE_PX;
      if (isNarrow) return markup`<text class="row" x="${x.low}" y="${baseline}">${line}</text>`;
      return markup`<text class="row" x="${x.low - 12}" y="${baseline}" text-anchor="end">${line}</text>`;
    })}
    <path class="whisker" d="M${low ?? 0} ${y}H${high ?? 0}M${low ?? 0} ${y - 4}v8M${high ?? 0} ${y - 4}v8"/>
    ${runs.length > 1 ? runs.map((run) => markup`<circle class="run" cx="${at(x, run)}" cy="${y}" r="2.4"/>`) : null}
    <circle cx="${value ?? 0}" cy="${y}" r="5"/>
    <text class="value" x="${row.right + 14}" y="${y + 4}">${interval.value.toFixed(3)}</text>
  </g>`;
}

const LINE_PX = 15;
const NARROW_ROW_PX = 40;
const LINE_CHARACTERS = 27;
const MOST_LINES = 3;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const rowHeightPx = (name: string): number => 9 + LINE_PX * wrap(name).length;

/** SVG does not wrap. What does not fit is in the table below the chart. */
function wrap(name: string): readonly string[] {
  const lines: string[] = [];
  for (const word of name.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < LINE_CHARACTERS)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  const shown = lines.slice(0, MOST_LINES);
  return shown.length === lines.length ? shown : [...shown.slice(0, -1), `${shown.at(-1) ?? ""} …`];
}
