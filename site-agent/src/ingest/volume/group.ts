/**
 * Slices become stacks: those of one series, one orientation and one size, in the order of their places, evenly spaced.
 * What fits in no stack is set aside for a reason, slice by slice.
 */
import { createHash } from "node:crypto";
import type { ErrorCode } from "@consilium/shared/errors";
import { KEY_DIGITS } from "../../dataset/keys.ts";
import type { Slice } from "./slice.ts";
import { cross, dot, length, minus, times, type Vector } from "./vector.ts";

/** The slices of one volume. */
export interface Stack {
  /** Of the series for its largest stack, so that labels may name the series. */
  readonly key: string;
  /** Ascending along the normal. */
  readonly slices: readonly [Slice, ...Slice[]];
  /** Right-handed with the directions of columns and rows. */
  readonly normal: Vector;
  readonly spacingMm: number;
  /**
   * By how many rows and columns each slice is shifted within its plane against the middle one; null where all lie straight
   * above each other.
   */
  readonly shifts: readonly (readonly [rows: number, columns: number])[] | null;
}

export interface RefusedSlice {
  readonly slice: Slice;
  readonly code: ErrorCode;
}

export interface Grouped {
  /** In the order of their first slices among those given. */
  readonly stacks: readonly Stack[];
  readonly refused: readonly RefusedSlice[];
}

/** Localizers have fewer. */
const LEAST_SLICES = 5;
/** Orientations and sizes of one series; keeps a forged file of many frames from taking for ever. */
const MOST_GROUPS = 256;
/** Cosine of the angle within which directions are the same: half a degree. */
const SAME_DIRECTION = Math.cos((0.5 * Math.PI) / 180);
/** Of lengths in the plane. */
const SAME_SPACING = 1e-3;
/** Slices nearer than this lie at the same place. */
const SAME_PLACE_MM = 0.02;
/** Share of the spacing by which a step may differ from the others. */
const UNEVEN = 0.1;
/** Tangent of the angle from which a stack leans: one degree. */
const TILT = Math.tan(Math.PI / 180);
/** Gantries tilt by up to 30 degrees; a stack that leans by more than 45 is something else. */
const MOST_TILT = 1;

export function groupSlices(slices: readonly Slice[]): Grouped {
  const stacks: Stack[] = [];
  const refused: RefusedSlice[] = [];
  for (const series of bySeries(slices)) {
    const { groups, scattered } = alike(series);
    refused.push(...scattered.map((slice) => ({ slice, code: "volume.too-few-slices" as const })));
    const made = groups.map((members) => stacksOf(members));
    for (const { refused: aside } of made) refused.push(...aside);
    const [largest, ...others] = made
      .flatMap((each) => each.stacks)
      .sort((a, b) => b.slices.length - a.slices.length);
    if (largest === undefined) continue;
    stacks.push({ ...largest, key: largest.slices[0].series }, ...others);
  }
  const place = new Map(slices.map((slice, i) => [slice, i]));
  const first = (stack: Stack): number => Math.min(...stack.slices.map((slice) => place.get(slice) ?? 0));
  const ordered = stacks.map((stack) => ({ stack, at: first(stack) })).sort((a, b) => a.at - b.at);
  return { stacks: ordered.map(({ stack }) => stack), refused };
}

function bySeries(slices: readonly Slice[]): readonly (readonly Slice[])[] {
  const groups = new Map<string, Slice[]>();
  for (const slice of slices) {
    const name = `${slice.patient}/${slice.series}`;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [slice]);
    else group.push(slice);
  }
  return [...groups.values()];
}

/** Slices that may lie in one volume: the same directions, size and spacing. What makes one group too many is scattered. */
function alike(series: readonly Slice[]): {
  readonly groups: readonly (readonly [Slice, ...Slice[]])[];
  readonly scattered: readonly Slice[];
} {
  const groups: [Slice, ...Slice[]][] = [];
  const scattered: Slice[] = [];
  for (const slice of series) {
    const group = groups.find(([first]) => isAlike(first, slice));
    if (group !== undefined) group.push(slice);
    else if (groups.length < MOST_GROUPS) groups.push([slice]);
    else scattered.push(slice);
  }
  return { groups, scattered };
}

function isAlike(a: Slice, b: Slice): boolean {
  const near = (x: number, y: number): boolean => Math.abs(x - y) <= SAME_SPACING * x;
  return (
    a.modality === b.modality &&
    a.rows === b.rows &&
    a.columns === b.columns &&
    dot(a.geometry.alongColumns, b.geometry.alongColumns) > SAME_DIRECTION &&
    dot(a.geometry.alongRows, b.geometry.alongRows) > SAME_DIRECTION &&
    near(a.geometry.pixelSpacing[0], b.geometry.pixelSpacing[0]) &&
    near(a.geometry.pixelSpacing[1], b.geometry.pixelSpacing[1])
  );
}

function stacksOf(members: readonly [Slice, ...Slice[]]): Grouped {
  const all = (code: ErrorCode): Grouped => ({
    stacks: [],
    refused: members.map((slice) => ({ slice, code })),
  });
  const { alongColumns, alongRows } = members[0].geometry;
  const normal = cross(alongColumns, alongRows);
  const levels = byPlace(members, normal);
  if (levels.length < LEAST_SLICES) return all("volume.too-few-slices");
  // Several images at each place: phases, echoes or weightings, each a volume of its own.
  const repetitions = levels[0]?.length ?? 0;
  if (levels.some((level) => level.length !== repetitions)) return all("volume.repeated");
  const stacks: Stack[] = [];
  for (let repetition = 0; repetition < repetitions; repetition++) {
    const [first, ...rest] = levels.flatMap((level) => level.slice(repetition, repetition + 1));
    if (first === undefined) continue;
    const slices = [first, ...rest] as const;
    const spacingMm = evenSpacing(slices, normal);
    if (spacingMm === null) return all("volume.gap");
    if (leans(slices, normal, MOST_TILT)) return all("volume.tilted");
    const shifts = leans(slices, normal, TILT) ? shiftsOf(slices) : null;
    stacks.push({ key: stackKey(first, repetition), slices, normal, spacingMm, shifts });
  }
  return { stacks, refused: [] };
}

/** One list for each place along the normal, ascending; each in instance order. */
function byPlace(members: readonly Slice[], normal: Vector): readonly (readonly Slice[])[] {
  const placed = members
    .map((slice) => ({ slice, at: dot(slice.geometry.position, normal) }))
    .sort((a, b) => a.at - b.at);
  const levels: { readonly at: number; readonly slices: Slice[] }[] = [];
  for (const { slice, at } of placed) {
    const level = levels.at(-1);
    if (level === undefined || at - level.at > SAME_PLACE_MM) levels.push({ at, slices: [slice] });
    else level.slices.push(slice);
  }
  return levels.map(({ slices }) => slices.toSorted((a, b) => a.order - b.order));
}

/** The step from slice to slice, or null where one differs from the others. */
function evenSpacing(slices: readonly Slice[], normal: Vector): number | null {
  const places = slices.map(({ geometry }) => dot(geometry.position, normal));
  const steps = places.slice(1).map((place, i) => place - (places[i] ?? place));
  const median = steps.toSorted((a, b) => a - b)[steps.length >> 1] ?? 0;
  const tolerance = Math.max(UNEVEN * median, SAME_PLACE_MM);
  if (steps.some((step) => Math.abs(step - median) > tolerance)) return null;
  return steps.reduce((sum, step) => sum + step, 0) / steps.length;
}

/** Whether slices are shifted within their plane on the way up, as with a tilted gantry. */
function leans(slices: readonly [Slice, ...Slice[]], normal: Vector, tangent: number): boolean {
  const [{ geometry: origin }] = slices;
  return slices.some(({ geometry }) => {
    const way = minus(geometry.position, origin.position);
    const up = dot(way, normal);
    const aside = length(minus(way, times(normal, up)));
    return aside > Math.max(tangent * up, Math.min(...origin.pixelSpacing));
  });
}

function shiftsOf(slices: readonly [Slice, ...Slice[]]): NonNullable<Stack["shifts"]> {
  const { geometry: middle } = slices[slices.length >> 1] ?? slices[0];
  const [rowMm, columnMm] = middle.pixelSpacing;
  return slices.map(({ geometry }) => {
    const way = minus(geometry.position, middle.position);
    return [dot(way, middle.alongRows) / rowMm, dot(way, middle.alongColumns) / columnMm];
  });
}

/** Digest of which slices these are, in whatever order they came. */
export function compositionOf({ slices }: Stack): string {
  const names = slices.map(({ key, frame }) => `${key}/${frame}`).sort();
  return digest(names.join("\n"));
}

/** Of a stack that is not its series' largest: from what sets it apart, so that it is the same in every ingest. */
function stackKey({ series, rows, columns, geometry }: Slice, repetition: number): string {
  const { alongColumns, alongRows, pixelSpacing } = geometry;
  const numbers = [...alongColumns, ...alongRows, ...pixelSpacing].map((number) => number.toFixed(2));
  const text = [series, rows, columns, ...numbers, repetition].join("/");
  return digest(text);
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, KEY_DIGITS);
