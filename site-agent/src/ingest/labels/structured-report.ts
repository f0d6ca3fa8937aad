/**
 * Boxes from structured reports (PS3.16 TID 1500): every SCOORD item that was selected from an image, with the finding of
 * its measurement group. Coordinates count from the top left corner of the image (PS3.3 C.18.6).
 */
import { imageKey } from "../../dataset/keys.ts";
import type { DataSet } from "../header/data-set.ts";
import type { LabelItem } from "./item.ts";
import { className, guarded, referencedInstances, type LabelObject } from "./label-object.ts";

const TAG = {
  codeValue: 0x0008_0100,
  referencedSop: 0x0008_1199,
  valueType: 0x0040_a040,
  conceptName: 0x0040_a043,
  conceptCode: 0x0040_a168,
  content: 0x0040_a730,
  graphicData: 0x0070_0022,
  graphicType: 0x0070_0023,
} as const;

/** Finding (DCM), Finding site (SNOMED CT, and SRT of old); the first that a group has names its boxes. */
const NAMING_CONCEPTS = ["121071", "363698007", "G-C0E3"] as const;
/** Regions of groups that name no finding. */
export const UNNAMED_REGION = "region";
const MAX_DEPTH = 32;

export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export function* readStructuredReport(
  { dataSet, syntax }: LabelObject,
  secret: Uint8Array,
): Generator<LabelItem, void> {
  yield* guarded(() => [...walk(dataSet, UNNAMED_REGION, 0)]);

  function* walk(node: DataSet, inherited: string | null, depth: number): Generator<LabelItem, void> {
    if (depth > MAX_DEPTH) return;
    const children = node.items(TAG.content);
    const label = groupLabel(children, inherited);
    for (const child of children) {
      const kind = child.text(TAG.valueType);
      if (kind === "SCOORD") yield* region(child, label);
      // Regions in the patient's coordinates need the image's geometry.
      else if (kind === "SCOORD3D") yield { kind: "unreadable" };
      else yield* walk(child, label, depth + 1);
    }
  }

  function* region(scoord: DataSet, label: string | null): Generator<LabelItem, void> {
    const images = scoord
      .items(TAG.content)
      .flatMap((child) => referencedInstances(child.items(TAG.referencedSop)));
    const points = floats(scoord.value(TAG.graphicData), syntax.bigEndian);
    const rectangle = boundingBox(scoord.text(TAG.graphicType) ?? "", points);
    if (images.length === 0 || rectangle === null) yield { kind: "unreadable" };
    else if (label === null) yield { kind: "refused" };
    else
      for (const uid of images)
        yield { kind: "box", image: imageKey(secret, uid), box: { label, ...rectangle } };
  }

  /** Null where the group names a finding in words that will not do. */
  function groupLabel(children: readonly DataSet[], inherited: string | null): string | null {
    for (const concept of NAMING_CONCEPTS) {
      const codes = children
        .filter((child) => child.item(TAG.conceptName)?.text(TAG.codeValue) === concept)
        .map((child) => child.item(TAG.conceptCode));
      if (codes.length > 0) return className(dataSet, { codes });
    }
    return inherited;
  }
}

/**
 * The box around a graphic (PS3.3 C.18.6.1.2); a point is one pixel.
 * @param points column and row of each point, one after the other
 * @returns null for what is none, or has no area
 */
export function boundingBox(graphicType: string, points: readonly number[]): Rectangle | null {
  if (points.length < 2 || points.length % 2 !== 0 || !points.every(Number.isFinite)) return null;
  const at = (index: number): readonly [number, number] => [
    points[2 * index] ?? 0,
    points[2 * index + 1] ?? 0,
  ];
  switch (graphicType) {
    case "POINT": {
      const [x, y] = at(0);
      return { x: Math.floor(x), y: Math.floor(y), width: 1, height: 1 };
    }
    case "MULTIPOINT":
    case "POLYLINE": {
      const xs = points.filter((_, i) => i % 2 === 0);
      const ys = points.filter((_, i) => i % 2 === 1);
      return between(least(xs), least(ys), most(xs), most(ys));
    }
    // The centre, then a point of the circle.
    case "CIRCLE": {
      if (points.length !== 4) return null;
      const [x, y] = at(0);
      const [px, py] = at(1);
      const radius = Math.hypot(px - x, py - y);
      return between(x - radius, y - radius, x + radius, y + radius);
    }
    // Both ends of the major axis, then both of the minor one.
    case "ELLIPSE": {
      if (points.length !== 8) return null;
      const [ax, ay] = at(0);
      const [bx, by] = at(1);
      const [cx, cy] = at(2);
      const [dx, dy] = at(3);
      const x = (ax + bx) / 2;
      const y = (ay + by) / 2;
      // centre + cos t (b - a) / 2 + sin t (d - c) / 2 reaches this far along each direction.
      const halfWidth = Math.hypot(bx - ax, dx - cx) / 2;
      const halfHeight = Math.hypot(by - ay, dy - cy) / 2;
      return between(x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight);
    }
    default:
      return null;
  }
}

function between(left: number, top: number, right: number, bottom: number): Rectangle | null {
  const [width, height] = [right - left, bottom - top];
  return width > 0 && height > 0 ? { x: left, y: top, width, height } : null;
}

const least = (values: readonly number[]): number => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), -Infinity);

/** 32-bit floating-point numbers (FL). */
function floats(bytes: Uint8Array | undefined, bigEndian: boolean): readonly number[] {
  if (bytes === undefined) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, i) => view.getFloat32(4 * i, !bigEndian));
}
