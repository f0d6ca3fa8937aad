/**
 * Where an ultrasound image shows the patient. Around it the machine writes names, dates and measurements into nearly
 * every picture, so only what the header declares as a region is taken (PS3.3 C.8.5.5, US Region Calibration).
 */
import type { DataSet } from "./data-set.ts";

/** Part of an image, in pixels from the upper left corner. */
export interface Region {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Ultrasound Image, Ultrasound Multi-frame Image and their retired forerunners, Enhanced US Volume. */
const SOP_CLASSES = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.(3|3\.1|6|6\.1|6\.2)$/;

const TAG = {
  regions: 0x0018_6011,
  spatialFormat: 0x0018_6012,
  dataType: 0x0018_6014,
  minX: 0x0018_6018,
  minY: 0x0018_601a,
  maxX: 0x0018_601c,
  maxY: 0x0018_601e,
} as const;

/** Region Spatial Format (0018,6012): neither M-mode, spectrum, waveform nor graphics. */
const TWO_DIMENSIONAL = 1;
/** Region Data Type (0018,6014): neither flow, elasticity nor a curve. */
const TISSUE = 1;

/** By class or modality: a wrong modality must not let a banner through. */
export const isUltrasound = (modality: string, sopClass: string): boolean =>
  modality === "US" || modality === "IVUS" || SOP_CLASSES.test(sopClass);

/**
 * The region to take of an ultrasound image, or null where none is declared that shows a picture. Of several it is the
 * largest 2-D region of tissue; the largest 2-D one of another kind where tissue has none.
 * @throws dicom.truncated
 */
export function readUltrasoundRegion(dataSet: DataSet, rows: number, columns: number): Region | null {
  const pictures = dataSet.items(TAG.regions).flatMap((item) => {
    const region =
      item.uint16(TAG.spatialFormat) === TWO_DIMENSIONAL ? locationOf(item, rows, columns) : null;
    return region === null ? [] : [{ region, isTissue: item.uint16(TAG.dataType) === TISSUE }];
  });
  const tissue = pictures.filter(({ isTissue }) => isTissue);
  return (tissue.length > 0 ? tissue : pictures)
    .map(({ region }) => region)
    .reduce<Region | null>(
      (best, next) => (best === null || areaOf(next) > areaOf(best) ? next : best),
      null,
    );
}

/** Both corners belong to the region (C.8.5.5.1.4); some writers put the lower one a pixel outside. */
function locationOf(item: DataSet, rows: number, columns: number): Region | null {
  const [left, top, right, bottom] = [TAG.minX, TAG.minY, TAG.maxX, TAG.maxY].map((tag) => item.uint32(tag));
  if (left === undefined || top === undefined || right === undefined || bottom === undefined) return null;
  const width = Math.min(right + 1, columns) - left;
  const height = Math.min(bottom + 1, rows) - top;
  return width > 0 && height > 0 ? { left, top, width, height } : null;
}

const areaOf = ({ width, height }: Region): number => width * height;
