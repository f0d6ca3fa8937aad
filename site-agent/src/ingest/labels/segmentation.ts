/**
 * DICOM segmentations (PS3.3 A.51, A.101): binary, fractional and label maps, frame by frame or TILED_FULL. Each frame says
 * which image it was drawn on; one segment's frames on one image are joined, different segments may overlap. Where a frame and its
 * image both lie in the patient, the frame's pixels go by their place there.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import { imageKey } from "../../dataset/keys.ts";
import { framesOf } from "../decode/decode.ts";
import type { DataSet } from "../header/data-set.ts";
import { readHeader, type DicomHeader } from "../header/header.ts";
import type { GreyImage } from "../resize.ts";
import { fitOf } from "./frame-plane.ts";
import { NO_IMAGES, planeOf, type ImageGeometry, type ImageIndex } from "./geometry.ts";
import type { LabelItem } from "./item.ts";
import { className, guarded, referencedInstances, type LabelObject } from "./label-object.ts";
import { MAX_CLASSES } from "./table.ts";

const TAG = {
  referencedSeries: 0x0008_1115,
  referencedInstances: 0x0008_114a,
  referencedFrame: 0x0008_1160,
  sourceImages: 0x0008_2112,
  derivationImages: 0x0008_9124,
  dimensionOrganization: 0x0020_9311,
  totalColumns: 0x0048_0006,
  totalRows: 0x0048_0007,
  segmentationType: 0x0062_0001,
  segments: 0x0062_0002,
  segmentNumber: 0x0062_0004,
  segmentLabel: 0x0062_0005,
  segmentIdentification: 0x0062_000a,
  referencedSegmentNumber: 0x0062_000b,
  maximumFractionalValue: 0x0062_000e,
  propertyType: 0x0062_000f,
  shared: 0x5200_9229,
  perFrame: 0x5200_9230,
} as const;

/** A slide's total pixel matrix that is larger is not put together. */
const MAX_PIXELS = 2 ** 27;

/** Where a frame lies: which image, which segment (null: a label map, which names one per pixel), which place. */
interface Place {
  readonly uid: string;
  /** Of the image, from 0; null where the file does not say. */
  readonly frame: number | null;
  readonly segment: number | null;
  readonly left: number;
  readonly top: number;
}

interface Layout {
  readonly rows: number;
  readonly columns: number;
  /** Frames are tiles of one image. */
  readonly isTiled: boolean;
  /** Null for a frame that names no image. */
  readonly places: readonly (Place | null)[];
}

/**
 * Masks come segment by segment and image by image. Images of the referenced series without a frame were looked at.
 * @throws dicom.* for what cannot be read as a whole
 */
export async function* readSegmentation(
  object: LabelObject,
  secret: Uint8Array,
  images: () => Promise<Pick<ImageIndex, "images">> = () => Promise.resolve(NO_IMAGES),
): AsyncGenerator<LabelItem, void> {
  const { dataSet } = object;
  const header = readHeader(object.file);
  const frames = framesOf(header);
  const type = dataSet.text(TAG.segmentationType)?.toUpperCase() ?? "BINARY";
  const names = guarded(() => segmentNames(dataSet));
  const layout = guarded(() => layoutOf(dataSet, header, type === "LABELMAP"));
  if (layout.rows * layout.columns > MAX_PIXELS)
    throw new ConsiliumError("dicom.unsupported", { detail: "(size)" });
  const full = type === "FRACTIONAL" ? (dataSet.uint16(TAG.maximumFractionalValue) ?? 255) : 1;

  // 0 is the background of a label map.
  const among = [...names].flatMap(([number, name]) => (number === 0 || name === null ? [] : [name]));
  for (const name of names.values()) if (name === null) yield { kind: "refused" };
  for (const place of layout.places) if (place === null) yield { kind: "unreadable" };

  let isComplete = !layout.places.includes(null);
  for (const indices of groupFrames(layout.places)) {
    const [first] = indices;
    const place = layout.places[first ?? -1];
    if (place == null) continue;
    const { uid, frame, segment } = place;
    const image = { image: imageKey(secret, uid), ...(frame !== null && { frame }) };
    /** Segment number -> its mask on this image. */
    const masks = new Map<number, GreyImage>();
    const maskOf = (number: number): Float32Array => {
      const found = masks.get(number) ?? {
        rows: layout.rows,
        columns: layout.columns,
        values: new Float32Array(layout.rows * layout.columns),
      };
      masks.set(number, found);
      return found.values;
    };
    for (const index of indices) {
      const at = layout.places[index];
      if (at == null) continue;
      const { values, rows, columns } = await frames.frame(index);
      for (let y = 0; y < Math.min(rows, layout.rows - at.top); y++) {
        for (let x = 0; x < Math.min(columns, layout.columns - at.left); x++) {
          const value = values[y * columns + x] ?? 0;
          if (value === 0) continue;
          const mask = maskOf(segment ?? value);
          const pixel = (at.top + y) * layout.columns + at.left + x;
          const coverage = segment === null ? 255 : Math.min(255, (255 * value) / full);
          mask[pixel] = Math.max(mask[pixel] ?? 0, coverage);
        }
      }
    }
    const plane = layout.isTiled ? null : planeOf(header.frameAttributes[first ?? -1]);
    const fit =
      plane === null ? fitOf(null, layout, null) : fitOf(plane, layout, geometryOf(await images(), image));
    if (fit === null) {
      isComplete = false;
      yield { kind: "unreadable" };
      continue;
    }
    yield { kind: "looked-at", ...image, at: "masks", among };
    for (const [number, drawn] of masks) {
      const mask = fit(drawn);
      const label = names.get(number);
      if (label != null) yield { kind: "mask", ...image, label, mask };
      // Label maps name their background as a segment or not at all; 0 never comes here.
      else if (label === undefined) yield { kind: "unreadable" };
    }
  }
  // An image without a frame shows nothing, but only if every frame could be placed.
  if (isComplete)
    for (const uid of guarded(() => seriesInstances(dataSet)))
      yield { kind: "looked-at", image: imageKey(secret, uid), at: "masks", among };
}

/** Of a frame of an image where it is one of several; the image's own is that of its first. */
function geometryOf(
  { images }: Pick<ImageIndex, "images">,
  { image, frame = 0 }: { readonly image: string; readonly frame?: number },
): ImageGeometry | null {
  return images.get(`${image}/${frame}`) ?? (frame === 0 ? images.get(image) : undefined) ?? null;
}

/** Segment number -> name of the class; null where the object offers none that will do. */
function segmentNames(dataSet: DataSet): ReadonlyMap<number, string | null> {
  const segments = dataSet.items(TAG.segments);
  if (segments.length > MAX_CLASSES)
    throw new ConsiliumError("dicom.unsupported", { detail: "(number of segments)" });
  return new Map(
    segments.map((segment) => [
      segment.uint16(TAG.segmentNumber) ?? 0,
      className(dataSet, {
        text: segment.text(TAG.segmentLabel),
        codes: [segment.item(TAG.propertyType)],
      }),
    ]),
  );
}

const seriesInstances = (dataSet: DataSet): readonly string[] =>
  dataSet
    .items(TAG.referencedSeries)
    .flatMap((series) => referencedInstances(series.items(TAG.referencedInstances)));

function layoutOf(dataSet: DataSet, { frames, format }: DicomHeader, isLabelMap: boolean): Layout {
  const { rows, columns } = format;
  const totalRows = dataSet.uint32(TAG.totalRows);
  const totalColumns = dataSet.uint32(TAG.totalColumns);
  const perFrame = dataSet.items(TAG.perFrame);
  const isTiled = dataSet.text(TAG.dimensionOrganization)?.toUpperCase() === "TILED_FULL";
  if (isTiled && totalRows !== undefined && totalColumns !== undefined) {
    const places = tiledPlaces(dataSet, frames, isLabelMap, {
      rows,
      columns,
      across: Math.ceil(totalColumns / columns),
      down: Math.ceil(totalRows / rows),
    });
    return { rows: totalRows, columns: totalColumns, isTiled: true, places };
  }
  const shared = dataSet.item(TAG.shared);
  const only = seriesInstances(dataSet);
  const places = Array.from({ length: frames }, (_, index): Place | null => {
    const groups = [perFrame[index], shared];
    const source = sourceOf(groups) ?? { uid: only.length === 1 ? only[0] : undefined, frame: null };
    const { uid, frame } = source;
    const segment = isLabelMap ? null : segmentOf(groups);
    return uid === undefined || segment === undefined ? null : { uid, frame, segment, left: 0, top: 0 };
  });
  return { rows, columns, isTiled: false, places };
}

interface Tiling {
  readonly rows: number;
  readonly columns: number;
  readonly across: number;
  readonly down: number;
}

/**
 * Without functional groups for each frame: segments in order, for each the tiles row by row (PS3.3 C.7.6.17.3). All lie on
 * the one image that the object refers to.
 */
function tiledPlaces(
  dataSet: DataSet,
  frames: number,
  isLabelMap: boolean,
  { rows, columns, across, down }: Tiling,
): readonly (Place | null)[] {
  const uid = sourceOf([dataSet.item(TAG.shared)])?.uid ?? seriesInstances(dataSet)[0];
  const numbers = dataSet.items(TAG.segments).map((segment) => segment.uint16(TAG.segmentNumber) ?? 0);
  return Array.from({ length: frames }, (_, index): Place | null => {
    const tile = index % (across * down);
    const segment = isLabelMap ? null : numbers[Math.floor(index / (across * down))];
    if (uid === undefined || segment === undefined) return null;
    return {
      uid,
      frame: null,
      segment,
      left: (tile % across) * columns,
      top: Math.floor(tile / across) * rows,
    };
  });
}

type Groups = readonly (DataSet | undefined)[];

function sourceOf(groups: Groups): Pick<Place, "uid" | "frame"> | undefined {
  for (const group of groups)
    for (const derivation of group?.items(TAG.derivationImages) ?? []) {
      const [source] = derivation.items(TAG.sourceImages);
      const [uid] = source === undefined ? [] : referencedInstances([source]);
      if (uid === undefined) continue;
      const number = Number(source?.text(TAG.referencedFrame)?.split("\\")[0] ?? NaN);
      return { uid, frame: number >= 1 ? number - 1 : null };
    }
  return undefined;
}

function segmentOf(groups: Groups): number | undefined {
  for (const group of groups) {
    const number = group?.item(TAG.segmentIdentification)?.uint16(TAG.referencedSegmentNumber);
    if (number !== undefined) return number;
  }
  return undefined;
}

/** Indices of the frames of one segment on one image, together. */
function groupFrames(places: readonly (Place | null)[]): readonly (readonly number[])[] {
  const groups = new Map<string, number[]>();
  for (const [index, place] of places.entries()) {
    if (place === null) continue;
    const key = `${place.uid} ${place.frame ?? "all"} ${place.segment ?? "all"}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [index]);
    else group.push(index);
  }
  return [...groups.values()];
}
