/** One slice as its header describes it: what is needed to find its place in a volume, and nothing that identifies. */
import type { FoundFile } from "../folder.ts";
import type { Vector } from "./vector.ts";

export interface Slice {
  readonly file: FoundFile;
  /** Of a multi-frame file. */
  readonly frame: number;
  /** HMAC of the SOP Instance UID. */
  readonly key: string;
  /** HMAC of the Series Instance UID; of a multi-frame file, which is a volume by itself, its own key. */
  readonly series: string;
  readonly patient: string;
  readonly modality: string;
  readonly bodyPart: string | null;
  readonly rows: number;
  readonly columns: number;
  readonly geometry: SliceGeometry;
  /** Instance Number, or the frame's: tells apart what lies at one place. */
  readonly order: number;
}

/** In millimetres and the patient's coordinates: to the left, to the back, to the head (PS3.3 C.7.6.2.1.1). */
export interface SliceGeometry {
  /** Centre of the first pixel. */
  readonly position: Vector;
  /** Direction in which columns are counted, and in which rows are. */
  readonly alongColumns: Vector;
  readonly alongRows: Vector;
  /** From row to row, from column to column. */
  readonly pixelSpacing: readonly [rowMm: number, columnMm: number];
}
