/**
 * Masks from PNG files. The name is the image's SOP Instance UID: `UID.png`, `UID_class.png`, or `class/UID.png`. What is
 * not 0 belongs to the mask; grey levels in between count in part, the brightest of the file as a whole pixel.
 */
import { readFile } from "node:fs/promises";
import { decode, type DecodedPng } from "fast-png";
import { labelTextSchema } from "@consilium/shared/label-text";
import { imageKey } from "../../dataset/keys.ts";
import type { FoundFile } from "../folder.ts";
import type { GreyImage } from "../resize.ts";
import type { LabelItem } from "./item.ts";

/** The class of masks whose name says none. */
export const PLAIN_MASK = "mask";
/** A radiograph of 16,384 x 16,384. */
const MAX_PIXELS = 2 ** 28;

export interface MaskName {
  readonly uid: string;
  /** Null where the name says none. */
  readonly label: string | null;
}

/** UID and class from a file's path below the folder; null if its name does not begin with a UID. */
export function maskName(relativePath: string): MaskName | null {
  const parts = relativePath.split("/");
  const file = (parts.pop() ?? "").replace(/\.(png|nii|nii\.gz)$/i, "");
  const match = /^([0-9]+(?:\.[0-9]+)*)(?:_(.+))?$/.exec(file);
  if (match === null) return null;
  return { uid: match[1] ?? "", label: match[2] ?? parts.pop() ?? null };
}

/** Never throws for what the file may hold. */
export async function* readMaskImage(file: FoundFile, secret: Uint8Array): AsyncGenerator<LabelItem, void> {
  const name = maskName(file.relativePath);
  const label = name?.label ?? PLAIN_MASK;
  if (!labelTextSchema.safeParse(label).success) {
    yield { kind: "refused" };
    return;
  }
  let mask: GreyImage | null = null;
  try {
    if (name !== null) mask = coverageOf(decode(await readFile(file.path)));
  } catch {
    // The library's message is not ours to show; the file is counted below.
  }
  if (name === null || mask === null) yield { kind: "unreadable" };
  else {
    const image = imageKey(secret, name.uid);
    yield { kind: "looked-at", image, at: "masks", among: [label] };
    yield { kind: "mask", image, label, mask };
  }
}

/** The first channel's values, or whether the palette's index is not 0; null for images that are too large. */
function coverageOf(png: DecodedPng): GreyImage | null {
  const { width: columns, height: rows, channels, depth, palette } = png;
  if (rows * columns > MAX_PIXELS) return null;
  const values = new Float32Array(rows * columns);
  const rowBytes = Math.ceil((columns * depth) / 8);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const at = y * columns + x;
      // Samples of fewer than 8 bits are packed, the leftmost in the highest bits; rows begin with a byte.
      values[at] =
        depth >= 8
          ? (png.data[at * channels] ?? 0)
          : ((png.data[y * rowBytes + ((x * depth) >> 3)] ?? 0) >> (8 - depth - ((x * depth) & 7))) &
            (2 ** depth - 1);
    }
  }
  let brightest = 0;
  for (const value of values) brightest = Math.max(brightest, value);
  const isIndexed = palette !== undefined;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    values[i] = value === 0 ? 0 : isIndexed ? 255 : (255 * value) / brightest;
  }
  return { rows, columns, values };
}
