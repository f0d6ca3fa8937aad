/** The image cache: fixed-size grey records and an index that holds nothing identifying. */

/** One cached image. Keys are HMACs with the site's secret; nothing else ties a record to a person. */
export interface ImageRecord {
  /** HMAC-SHA256 of the SOP Instance UID, 32 hexadecimal digits. */
  readonly image: string;
  /** HMAC-SHA256 of issuer and patient id, 32 hexadecimal digits. Splits go by this. */
  readonly patient: string;
  readonly modality: string;
}

export interface ImageCache {
  /** Side of the square images. */
  readonly sizePx: number;
  readonly records: readonly ImageRecord[];
  /** Copies image `indices[i]` to `out[i * sizePx^2 ...]`; 8-bit grey, row-major, air dark and bone bright. */
  read(indices: ArrayLike<number>, out: Uint8Array): void;
  close(): void;
}
