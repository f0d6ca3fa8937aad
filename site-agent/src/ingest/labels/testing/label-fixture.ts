/** What tests of label objects share: elements, segmentations, and what was read of a file. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { imageKey } from "../../../dataset/keys.ts";
import { writeDicom, type FixtureElement, type FixtureOptions } from "../../testing/dicom-fixture.ts";
import { packSamples, syntheticImage } from "../../testing/synthetic-image.ts";
import { NO_IMAGES, type ImageIndex } from "../geometry.ts";
import type { LabelItem } from "../item.ts";
import { labelFiles } from "../source.ts";

export const secret = new Uint8Array(32).fill(3);

/** Everything that a file, written to the folder, is read as. */
export async function itemsOf(
  dir: string,
  file: Uint8Array,
  images: ImageIndex = NO_IMAGES,
): Promise<LabelItem[]> {
  const path = join(dir, "label.dcm");
  await writeFile(path, file);
  return itemsAt(path, images);
}

export async function itemsAt(path: string, images: ImageIndex = NO_IMAGES): Promise<LabelItem[]> {
  const found: LabelItem[] = [];
  for await (const { items } of labelFiles(path, secret, () => Promise.resolve(images)))
    for await (const item of items) found.push(item);
  return found;
}

export const sequence = (tag: string, ...items: FixtureElement[][]): FixtureElement => [tag, "SQ", { items }];
export const code = (tag: string, value: string, meaning: string): FixtureElement =>
  sequence(tag, [
    ["00080100", "SH", value],
    ["00080102", "SH", "DCM"],
    ["00080104", "LO", meaning],
  ]);
export const refer = (tag: string, uid: string): FixtureElement => sequence(tag, [["00081155", "UI", uid]]);
export const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
export const uint32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);

export interface Frame {
  readonly uid: string;
  /** Of the image, from 1. */
  readonly frame?: number;
  readonly segment: number;
}

export interface Segmentation {
  readonly type: "BINARY" | "FRACTIONAL" | "LABELMAP";
  readonly rows: number;
  readonly columns: number;
  readonly segments: readonly string[];
  readonly frames: readonly Frame[];
  /** Values of all frames, one after the other. */
  readonly values: readonly number[];
  readonly elements?: readonly FixtureElement[];
  readonly syntax?: FixtureOptions["syntax"];
}

/** Items of a sequence in ascending order of tags, as the standard wants them. */
export async function writeSegmentation(seg: Segmentation): Promise<Uint8Array> {
  const bits = seg.type === "BINARY" ? 1 : 8;
  const image = {
    ...syntheticImage({ rows: seg.rows, columns: seg.columns, bitsAllocated: bits, bitsStored: bits }),
  };
  const size = seg.rows * seg.columns;
  const frames = Array.from({ length: seg.values.length / size }, (_, i) =>
    packSamples(seg.values.slice(i * size, (i + 1) * size), bits),
  );
  return writeDicom(image, {
    ...(seg.syntax === undefined ? {} : { syntax: seg.syntax }),
    frames,
    ...(bits === 1 ? { pixelData: packSamples(seg.values, 1) } : {}),
    elements: [
      [
        "00080016",
        "UI",
        seg.type === "LABELMAP" ? "1.2.840.10008.5.1.4.1.1.66.7" : "1.2.840.10008.5.1.4.1.1.66.4",
      ],
      ["00080060", "CS", "SEG"],
      ["00100010", "PN", "CANARY^Jane"],
      ["00620001", "CS", seg.type],
      ...(seg.type === "FRACTIONAL" ? [["0062000e", "US", 200] as const] : []),
      sequence(
        "00620002",
        ...seg.segments.map((label, i): FixtureElement[] => [
          ["00620004", "US", i + 1],
          ["00620005", "LO", label],
          code("0062000f", "T-1", `Type, ${i + 1}`),
        ]),
      ),
      ...(seg.frames.length === 0
        ? []
        : [
            sequence(
              "52009230",
              ...seg.frames.map(({ uid, frame, segment }): FixtureElement[] => [
                sequence("00089124", [
                  sequence("00082112", [
                    ["00081155", "UI", uid],
                    ...(frame === undefined ? [] : [["00081160", "IS", String(frame)] as const]),
                  ]),
                ]),
                sequence("0062000a", [["0062000b", "US", segment]]),
              ]),
            ),
          ]),
      ...(seg.elements ?? []),
    ],
  });
}

/** Image UID and class -> values; looked-at images have "". */
export function masksOf(
  items: readonly LabelItem[],
  uids: readonly string[],
): Map<string, readonly number[]> {
  const names = new Map(uids.map((uid) => [imageKey(secret, uid), uid]));
  return new Map(
    items.flatMap((item) =>
      item.kind === "mask"
        ? [[`${names.get(item.image) ?? "?"} ${item.label}`, [...item.mask.values]] as const]
        : [],
    ),
  );
}
