/** The made-up hospitals: what each scanner's pictures look like and how they are written. */
import type { Look } from "./film.ts";

export type Encoding = "jpeg-baseline" | "jpeg-ls" | "jpeg-2000" | "uncompressed";

export interface Scanner {
  readonly manufacturer: string;
  readonly rows: number;
  readonly columns: number;
  readonly bitsStored: 8 | 12 | 16;
  readonly photometric: "MONOCHROME1" | "MONOCHROME2";
  readonly encoding: Encoding;
  /** Rescale intercept, with a window to match; absent where the stored values are the output values. */
  readonly intercept?: number;
  readonly look: Look;
}

export interface Hospital {
  /** The folder's name. */
  readonly name: string;
  /** Its pictures in words. */
  readonly description: string;
  readonly institution: string;
  /** Images, as a multiple of the number asked for. */
  readonly share: number;
  /** Share of images with an opacity. */
  readonly prevalence: number;
  /** Cycled through, image by image. */
  readonly scanners: readonly Scanner[];
}

const ACME: Scanner = {
  manufacturer: "Acme",
  rows: 128,
  columns: 128,
  bitsStored: 8,
  photometric: "MONOCHROME2",
  encoding: "jpeg-baseline",
  look: {
    gamma: 1,
    contrast: 1.2,
    noise: 0.008,
    grainPx: 0.5,
    sharpening: 0,
    hardening: 0.2,
    collimation: 0.03,
    shading: 0.03,
  },
};

const BOREALIS: Scanner = {
  manufacturer: "Borealis",
  rows: 136,
  columns: 124,
  bitsStored: 12,
  photometric: "MONOCHROME1",
  encoding: "jpeg-ls",
  look: {
    gamma: 1.35,
    contrast: 0.85,
    noise: 0.014,
    grainPx: 0,
    sharpening: 0.7,
    hardening: 0.12,
    collimation: 0.09,
    shading: 0.06,
  },
};

const CYGNUS: Scanner = {
  manufacturer: "Cygnus",
  rows: 124,
  columns: 132,
  bitsStored: 16,
  photometric: "MONOCHROME2",
  encoding: "jpeg-2000",
  look: {
    gamma: 0.72,
    contrast: 1.5,
    noise: 0.01,
    grainPx: 1,
    sharpening: 0.25,
    hardening: 0.45,
    collimation: 0.05,
    shading: 0.02,
  },
};

/** The same vendor's older console, which compresses nothing and needs the rescale. */
const CYGNUS_OLD: Scanner = {
  ...CYGNUS,
  bitsStored: 12,
  encoding: "uncompressed",
  intercept: -300,
};

export const HOSPITALS: readonly Hospital[] = [
  {
    name: "hospital-a",
    description: "plain processing, a little blur in the grain, 8 bit with lossy compression",
    institution: "CANARY General Hospital",
    share: 1.15,
    prevalence: 0.42,
    scanners: [ACME],
  },
  {
    name: "hospital-b",
    description: "dark, edges enhanced, white noise, wide collimation, stored inverted",
    institution: "CANARY Children Clinic",
    share: 1.1,
    prevalence: 0.58,
    scanners: [BOREALIS],
  },
  {
    name: "hospital-c",
    description: "bright, steep contrast, coarse grain, a hard beam; every fourth from an older console",
    institution: "CANARY University Hospital",
    share: 0.75,
    prevalence: 0.5,
    scanners: [CYGNUS, CYGNUS, CYGNUS, CYGNUS_OLD],
  },
  {
    // Other patients, seen by all the vendors: what a model is tested on.
    name: "test",
    description: "other patients, all three vendors",
    institution: "CANARY Regional Archive",
    share: 1,
    prevalence: 0.5,
    scanners: [ACME, BOREALIS, CYGNUS],
  },
];
