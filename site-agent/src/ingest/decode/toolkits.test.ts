/**
 * One source image in every transfer syntax that dcmtk and gdcm write: lossless ones give the source back, lossy ones stay
 * within the codec's bound and equal what the toolkit itself decodes.
 */
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeDicom } from "../testing/dicom-fixture.ts";
import { syntheticImage } from "../testing/synthetic-image.ts";
import { decode, type Frames } from "./decode.ts";
import type { StoredImage } from "./stored-image.ts";

const run = promisify(execFile);
const isHere = (tool: string): boolean => spawnSync(tool, ["--version"]).error === undefined;
const present = ["dcmconv", "dcmcrle", "dcmcjpeg", "dcmdjpeg", "dcmcjpls", "gdcmconv"].every(isHere);
if (!present) console.info("skipped: dcmtk and gdcm (Debian: dcmtk, libgdcm-tools) are not here");

const size = { rows: 40, columns: 36 };
const SOURCES = {
  "8 bits": syntheticImage(size),
  "8 bits signed": syntheticImage({ ...size, signed: true }),
  "12 bits": syntheticImage({ ...size, bitsAllocated: 16, bitsStored: 12 }),
  "12 bits signed": syntheticImage({ ...size, bitsAllocated: 16, bitsStored: 12, signed: true }),
  "16 bits": syntheticImage({ ...size, bitsAllocated: 16 }),
  "16 bits signed": syntheticImage({ ...size, bitsAllocated: 16, signed: true }),
  "32 bits": syntheticImage({ ...size, bitsAllocated: 32 }),
  RGB: syntheticImage({ ...size, samples: 3, photometric: "RGB" }),
  "odd size": syntheticImage({ rows: 31, columns: 17 }),
} as const;
type Source = keyof typeof SOURCES;

const UP_TO_16: readonly Source[] = [
  "8 bits",
  "8 bits signed",
  "12 bits",
  "12 bits signed",
  "16 bits",
  "16 bits signed",
  "RGB",
  "odd size",
];
const ALL: readonly Source[] = [...UP_TO_16, "32 bits"];
const EVEN = ALL.filter((source) => source !== "odd size");

interface Conversion {
  readonly command: readonly [tool: string, ...options: string[]];
  /** The transfer syntax that comes out, without 1.2.840.10008.1.2. */
  readonly syntax: string;
  readonly sources: readonly Source[];
}

const LOSSLESS: readonly Conversion[] = [
  { command: ["dcmconv", "+ti"], syntax: "", sources: ALL },
  { command: ["dcmconv", "+te", "-e"], syntax: ".1", sources: ALL },
  { command: ["dcmconv", "+tb"], syntax: ".2", sources: ALL },
  { command: ["dcmconv", "+td"], syntax: ".1.99", sources: ALL },
  { command: ["dcmcrle"], syntax: ".5", sources: ALL },
  { command: ["dcmcjpeg", "+e1"], syntax: ".4.70", sources: UP_TO_16 },
  ...[1, 2, 3, 4, 5, 6, 7].map((predictor) => ({
    command: ["dcmcjpeg", "+el", "+sv", `${predictor}`] as const,
    syntax: ".4.57",
    sources: ["16 bits signed", "RGB"] as const,
  })),
  { command: ["dcmcjpls", "+el"], syntax: ".4.80", sources: UP_TO_16 },
  { command: ["dcmcjpls", "+el", "+il"], syntax: ".4.80", sources: ["RGB"] },
  { command: ["dcmcjpls", "+el", "+is"], syntax: ".4.80", sources: ["RGB"] },
  { command: ["dcmcjpls", "+el", "+in"], syntax: ".4.80", sources: ["RGB"] },
  { command: ["gdcmconv", "-M"], syntax: "", sources: ["12 bits signed", "32 bits", "RGB"] },
  { command: ["gdcmconv", "-X"], syntax: ".1", sources: ["12 bits signed", "32 bits", "RGB"] },
  { command: ["gdcmconv", "--planar-configuration", "1", "-w"], syntax: ".1", sources: ["RGB"] },
  { command: ["gdcmconv", "-d"], syntax: ".1.99", sources: ALL },
  // gdcm 3.0.21 aborts over odd sizes.
  { command: ["gdcmconv", "-R"], syntax: ".5", sources: EVEN },
  { command: ["gdcmconv", "-J"], syntax: ".4.70", sources: UP_TO_16 },
  { command: ["gdcmconv", "-L"], syntax: ".4.80", sources: UP_TO_16 },
  { command: ["gdcmconv", "-K"], syntax: ".4.90", sources: UP_TO_16 },
  { command: ["gdcmconv", "-K", "-t", "16,16"], syntax: ".4.90", sources: ["12 bits signed", "RGB"] },
];

interface LossyConversion extends Conversion {
  /** Largest difference of a sample from the source; null where only the toolkit's own decoder is the measure. */
  readonly bound: number | null;
  /** The same toolkit's decoder, without conversion of colours. */
  readonly decoder: readonly [tool: string, ...options: string[]];
}

const JPEG = ["+q", "95", "+sr"] as const;
const DCMDJPEG = ["dcmdjpeg", "+cn"] as const;
const LOSSY: readonly LossyConversion[] = [
  {
    command: ["dcmcjpeg", "+eb", ...JPEG],
    syntax: ".4.50",
    sources: ["8 bits", "odd size"],
    bound: 8,
    decoder: DCMDJPEG,
  },
  ...[["+ee", ".4.51"] as const, ["+es", ".4.53"] as const, ["+ep", ".4.55"] as const].map(
    ([option, syntax]) => ({
      command: ["dcmcjpeg", option, ...JPEG] as const,
      syntax,
      sources: ["8 bits", "12 bits", "odd size"] as const,
      bound: 8,
      decoder: DCMDJPEG,
    }),
  ),
  {
    command: ["dcmcjpeg", "+eb", ...JPEG, "+cr"],
    syntax: ".4.50",
    sources: ["RGB"],
    bound: 12,
    decoder: DCMDJPEG,
  },
  {
    command: ["dcmcjpeg", "+eb", ...JPEG, "+s4"],
    syntax: ".4.50",
    sources: ["RGB"],
    bound: null,
    decoder: DCMDJPEG,
  },
  {
    command: ["dcmcjpeg", "+eb", ...JPEG],
    syntax: ".4.50",
    sources: ["RGB"],
    bound: null,
    decoder: DCMDJPEG,
  },
  {
    command: ["dcmcjpeg", "+e1", "+pt", "2"],
    syntax: ".4.70",
    sources: ["8 bits signed", "16 bits"],
    bound: 3,
    decoder: DCMDJPEG,
  },
  {
    command: ["dcmcjpls", "+en", "+md", "3"],
    syntax: ".4.81",
    sources: ["8 bits", "12 bits", "16 bits", "RGB", "odd size"],
    bound: 3,
    decoder: ["dcmdjpls"],
  },
  {
    command: ["gdcmconv", "-Y", "-L", "-e", "3"],
    syntax: ".4.81",
    sources: ["8 bits signed", "16 bits signed", "RGB"],
    bound: 3,
    decoder: ["gdcmconv", "-w"],
  },
  {
    command: ["gdcmconv", "-Y", "-K", "-q", "60"],
    syntax: ".4.91",
    sources: ["8 bits", "8 bits signed", "RGB", "odd size"],
    bound: 2,
    decoder: ["gdcmconv", "-w"],
  },
  {
    command: ["gdcmconv", "-Y", "-K", "-q", "60"],
    syntax: ".4.91",
    sources: ["12 bits", "12 bits signed", "16 bits", "16 bits signed"],
    bound: 400,
    decoder: ["gdcmconv", "-w"],
  },
];

describe.skipIf(!present)("files that dcmtk and gdcm write", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "consilium-toolkits-"));
    for (const [name, image] of Object.entries(SOURCES))
      await writeFile(place(name), await writeDicom(image, { vr: image.bitsAllocated > 8 ? "OW" : "OB" }));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const place = (name: string): string => path.join(folder, `${name.replaceAll(" ", "-")}.dcm`);
  const convert = async (
    [tool, ...options]: Conversion["command"],
    from: string,
    to: string,
  ): Promise<Frames> => {
    await run(tool, [...options, place(from), place(to)]);
    return decode(await readFile(place(to)));
  };
  const valuesOf = async (frames: Frames): Promise<readonly number[]> =>
    Array.from((await frames.frame(0)).values);

  for (const { command, syntax, sources } of LOSSLESS) {
    it(`${command.join(" ")}: exact`, async () => {
      for (const source of sources) {
        const frames = await convert(command, source, "out");
        expect(frames.header.syntax.uid, source).toBe(`1.2.840.10008.1.2${syntax}`);
        expect(await valuesOf(frames), source).toEqual(SOURCES[source].stored);
      }
    });
  }

  for (const { command, syntax, sources, bound, decoder } of LOSSY) {
    it(`${command.join(" ")}: close`, async () => {
      for (const source of sources) {
        const frames = await convert(command, source, "lossy");
        expect(frames.header.syntax.uid, source).toBe(`1.2.840.10008.1.2${syntax}`);
        const values = await valuesOf(frames);
        expect(values, source).toEqual(await valuesOf(await convert(decoder, "lossy", "decoded")));
        if (bound !== null) expect(worst(values, SOURCES[source].stored), source).toBeLessThanOrEqual(bound);
      }
    });
  }

  it("lossy colours come out as YBR_FULL, and as the source once they are RGB", async () => {
    for (const command of [
      ["dcmcjpeg", "+eb", ...JPEG, "+s4"],
      // Writes YCbCr and leaves the header at RGB.
      ["gdcmconv", "-Y", "-J", "-q", "95"],
    ] as const) {
      const image = await (await convert(command, "RGB", "lossy")).frame(0);
      expect(image.photometric).toBe("YBR_FULL");
      expect(meanDifference(toRgb(image), SOURCES.RGB.stored)).toBeLessThan(6);
    }
  });

  it("32 bits in JPEG 2000 are refused, not cut", async () => {
    const frames = await convert(["gdcmconv", "-K"], "32 bits", "out");
    await expect(frames.frame(0)).rejects.toMatchObject({ code: "dicom.unsupported" });
  });
});

const differences = (values: readonly number[], stored: readonly number[]): number[] => {
  expect(values).toHaveLength(stored.length);
  return stored.map((value, i) => Math.abs(value - (values[i] ?? NaN)));
};

const worst = (values: readonly number[], stored: readonly number[]): number =>
  Math.max(...differences(values, stored));

const meanDifference = (values: readonly number[], stored: readonly number[]): number =>
  differences(values, stored).reduce((sum, difference) => sum + difference, 0) / stored.length;

/** PS3.3 C.7.6.3.1.2. */
function toRgb({ values }: StoredImage): readonly number[] {
  const rgb: number[] = [];
  for (let i = 0; i < values.length; i += 3) {
    const [y = 0, cb = 0, cr = 0] = values.subarray(i, i + 3);
    rgb.push(
      y + 1.402 * (cr - 128),
      y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128),
      y + 1.772 * (cb - 128),
    );
  }
  return rgb;
}
