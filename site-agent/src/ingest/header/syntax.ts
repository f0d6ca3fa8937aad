/** Transfer syntaxes (PS3.5 section 10, annex A) that this version reads, and how their pixels are encoded. */

/** How pixel data is encoded: as plain samples, or by a family of codecs. */
export type Encoding =
  | "native"
  /** Each frame's plain samples in a fragment of its own. */
  | "encapsulated-native"
  /** The same, each frame one deflate stream. */
  | "frame-deflate"
  | "rle"
  | "jpeg"
  | "jpeg-ls"
  | "jpeg-2000"
  | "ht-jpeg-2000"
  | "jpeg-xl";

export interface TransferSyntax {
  readonly uid: string;
  readonly encoding: Encoding;
  /** Whether elements carry their value representation. */
  readonly explicit: boolean;
  readonly bigEndian: boolean;
  /** Whether the data set after the meta header is one deflate stream. */
  readonly deflated: boolean;
}

const UID_ROOT = "1.2.840.10008.1.2";

const syntax = (
  suffix: string,
  encoding: Encoding,
  options: Partial<TransferSyntax> = {},
): TransferSyntax => ({
  uid: `${UID_ROOT}${suffix}`,
  encoding,
  explicit: true,
  bigEndian: false,
  deflated: false,
  ...options,
});

export const IMPLICIT_LITTLE = syntax("", "native", { explicit: false });
export const EXPLICIT_LITTLE = syntax(".1", "native");
export const EXPLICIT_BIG = syntax(".2", "native", { bigEndian: true });

const TRANSFER_SYNTAXES: ReadonlyMap<string, TransferSyntax> = new Map(
  [
    IMPLICIT_LITTLE,
    EXPLICIT_LITTLE,
    EXPLICIT_BIG,
    syntax(".1.99", "native", { deflated: true }),
    syntax(".1.98", "encapsulated-native"),
    syntax(".5", "rle"),
    syntax(".8.1", "frame-deflate"),
    syntax(".4.50", "jpeg"), // baseline, 8 bits, lossy
    syntax(".4.51", "jpeg"), // extended, 8 or 12 bits, lossy
    syntax(".4.53", "jpeg"), // spectral selection, retired
    syntax(".4.55", "jpeg"), // full progression, retired
    syntax(".4.57", "jpeg"), // lossless, any predictor
    syntax(".4.70", "jpeg"), // lossless, first-order predictor
    syntax(".4.80", "jpeg-ls"), // lossless
    syntax(".4.81", "jpeg-ls"), // near-lossless
    syntax(".4.90", "jpeg-2000"), // lossless
    syntax(".4.91", "jpeg-2000"), // lossless or lossy
    syntax(".4.110", "jpeg-xl"), // lossless
    syntax(".4.111", "jpeg-xl"), // a baseline JPEG, recompressed
    syntax(".4.112", "jpeg-xl"), // lossless or lossy
    syntax(".4.201", "ht-jpeg-2000"), // lossless
    syntax(".4.202", "ht-jpeg-2000"), // lossless, progression by resolution
    syntax(".4.203", "ht-jpeg-2000"), // lossless or lossy
  ].map((known) => [known.uid, known]),
);

/** The transfer syntax of this UID, or null if this version does not read it. */
export function transferSyntax(uid: string): TransferSyntax | null {
  return TRANSFER_SYNTAXES.get(uid) ?? null;
}

/** UIDs of all transfer syntaxes that this version reads, plain ones first. */
export const readableSyntaxes = (): readonly string[] => [...TRANSFER_SYNTAXES.keys()];
