/** How each modality's values become grey: part of the plan, so that all sites' images look alike. */
import { z } from "zod";

const share = z.number().min(0).max(1);

const windowSchema = z.strictObject({
  /** In rescaled units: HU for CT. */
  center: z.number(),
  width: z.number().min(1).max(1e6),
});

/** How the range that becomes 0 .. 255 is found. */
export const greyProfileSchema = z.discriminatedUnion("range", [
  /** From the image itself, as vendors' windows differ from site to site. Shares of the pixels. */
  z
    .strictObject({
      range: z.literal("percentile"),
      low: share.default(0.005),
      high: share.default(0.995),
    })
    .refine(({ low, high }) => low < high, "low must be below high"),
  /** Fixed: the first window makes the first channel and so on; channels beyond the list take its last one. */
  z.strictObject({ range: z.literal("windows"), windows: z.tuple([windowSchema], windowSchema).readonly() }),
  /** The header's window, or the percentiles where it names none. */
  z.strictObject({ range: z.literal("header") }),
]);
export type GreyProfile = z.infer<typeof greyProfileSchema>;

const percentile = greyProfileSchema.prefault({ range: "percentile" });
const header = greyProfileSchema.default({ range: "header" });

/** By modality (DICOM's terms). A model of one channel sees CT in the lung window alone. */
export const greySchema = z.strictObject({
  CR: percentile,
  DX: percentile,
  MG: percentile,
  MR: percentile,
  CT: greyProfileSchema.default({
    range: "windows",
    windows: [
      { center: -600, width: 1500 }, // lung
      { center: 40, width: 400 }, // soft tissue
      { center: 480, width: 2500 }, // bone
    ],
  }),
  /** Every other modality. */
  other: header,
});

/** The grid that volumes are laid on, at every site alike. */
export const volumeSchema = z.strictObject({
  /** Slices of a cached volume, from which crops are taken. */
  depthPx: z.int().min(2).max(512),
  /** From slice to slice, in millimetres; volumes are resampled to it. */
  sliceSpacingMm: z.number().min(0.1).max(50),
  /** From voxel to voxel within a slice, in millimetres. */
  pixelSpacingMm: z.number().min(0.1).max(50),
});
