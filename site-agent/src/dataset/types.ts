/** The image cache: fixed-size grey records and an index that holds nothing identifying. */

/** What every record of a cache holds: channels x depthPx x sizePx x sizePx bytes of 8-bit grey. */
export interface RecordShape {
  /** Side of the square images, or of a volume's slices. */
  readonly sizePx: number;
  /** Slices of a volume, from the feet up; 1 for images. */
  readonly depthPx: number;
  readonly channels: number;
}

export const recordBytes = ({ sizePx, depthPx, channels }: RecordShape): number =>
  channels * depthPx * sizePx ** 2;

/** For example "96 px", or "64 px and 32 slices". */
export const describeShape = ({ sizePx, depthPx }: Omit<RecordShape, "channels">): string =>
  depthPx === 1 ? `${sizePx} px` : `${sizePx} px and ${depthPx} slices`;

/** One cached image. Keys are HMACs with the site's secret; nothing else ties a record to a person. */
export interface ImageRecord {
  /** HMAC-SHA256 of the SOP Instance UID, 32 hexadecimal digits. */
  readonly image: string;
  /** HMAC-SHA256 of issuer and patient id, 32 hexadecimal digits. Splits go by this. */
  readonly patient: string;
  readonly modality: string;
}

export interface ImageCache extends RecordShape {
  readonly records: readonly ImageRecord[];
  /**
   * Copies record `indices[i]` to `out[i * recordBytes(cache) ...]`: channel after channel, slice after slice, row after
   * row; air dark and bone bright.
   */
  read(indices: ArrayLike<number>, out: Uint8Array): void;
  close(): void;
}
