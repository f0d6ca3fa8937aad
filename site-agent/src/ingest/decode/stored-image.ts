/** Stored values in the canonical form that docs/ingest.md describes. */
import type { PixelFormat } from "../header/pixel-format.ts";

export type StoredValues = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array;

export type DataType = "uint8" | "int8" | "uint16" | "int16" | "uint32" | "int32";

/** One frame. */
export interface StoredImage {
  readonly rows: number;
  readonly columns: number;
  readonly samples: 1 | 3;
  readonly photometric: "MONOCHROME1" | "MONOCHROME2" | "PALETTE COLOR" | "RGB" | "YBR_FULL";
  /** rows x columns x samples, in the canonical form. */
  readonly values: StoredValues;
}

/** The smallest type that holds BitsAllocated bits and their sign. Single bits have none. */
export function dataType({ bitsAllocated, signed }: PixelFormat): DataType {
  const bits = containerBits(bitsAllocated);
  return signed && bitsAllocated > 1 ? `int${bits}` : `uint${bits}`;
}

export const containerBits = (bitsAllocated: number): 8 | 16 | 32 =>
  bitsAllocated <= 8 ? 8 : bitsAllocated <= 16 ? 16 : 32;

/** As little-endian bytes; every platform that Node runs on here is little-endian. */
export function bytesOf({ buffer, byteOffset, byteLength }: StoredValues): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
