/** Whether a site that loaded something else shows by number: phantom chests, phantom knees, blobs, negatives. */
import { compareWithOthers, type Comparison } from "@consilium/shared/fingerprint/compare";
import { sumOfFingerprints } from "@consilium/shared/fingerprint/histogram";
import { binsOf, GROUPS, SHARES, type GroupName } from "@consilium/shared/fingerprint/layout";
import { GREY_IMAGES, rangesFor } from "@consilium/shared/input-profile";
import { beforeAll, describe, expect, it } from "vitest";
import { pictures } from "../../../deploy/demo/phantom/hospital.ts";
import { HOSPITALS } from "../../../deploy/demo/phantom/vendors.ts";
import { toGrey } from "../ingest/grey.ts";
import { fitToSquare } from "../ingest/resize.ts";
import type { CachedRecord } from "./cache-format.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { Random } from "./random.ts";
import type { ImageCache } from "./types.ts";

const SIZE = 48;
const IMAGES = 16;

interface Film {
  readonly rows: number;
  readonly columns: number;
  /** 0 to 1. */
  readonly values: ArrayLike<number>;
}

/** As ingest makes grey of a radiograph. */
function cached({ rows, columns, values }: Film): Uint8Array {
  const stored = Uint16Array.from(values, (value) => Math.round(Math.min(1, Math.max(0, value)) * 4095));
  const image = { rows, columns, samples: 1, photometric: "MONOCHROME2", values: stored } as const;
  const rescale = { slope: 1, intercept: 0 };
  const hints = { modality: "CR", padding: null, rescale, modalityLut: null, window: null };
  const [grey] = toGrey(image, hints, rangesFor(GREY_IMAGES, "CR"));
  if (grey === undefined) throw new Error("an image without a channel");
  return fitToSquare(grey, SIZE);
}

function cacheOf(images: readonly Uint8Array[], record: Partial<CachedRecord> = {}, depthPx = 1) {
  const records = images.map((_, i): CachedRecord => ({
    image: String(i).padStart(32, "0"),
    patient: "0".repeat(32),
    modality: "CR",
    view: "AP",
    bodyPart: null,
    rows: 1800,
    columns: 1800,
    ...record,
  }));
  const cache: ImageCache = {
    sizePx: SIZE,
    depthPx,
    channels: 1,
    records,
    read: (indices, out) => {
      for (let i = 0; i < indices.length; i++)
        out.set(images[indices[i] ?? 0] ?? [], i * depthPx * SIZE ** 2);
    },
    close: () => undefined,
  };
  return { records, cache };
}

function fingerprint(images: readonly Uint8Array[], record?: Partial<CachedRecord>): Uint32Array {
  const { records, cache } = cacheOf(images, record);
  return fingerprintOf(records, cache);
}

function draw(rows: number, columns: number, at: (x: number, y: number) => number): Film {
  return {
    rows,
    columns,
    values: Array.from({ length: rows * columns }, (_, i) => at(i % columns, Math.floor(i / columns))),
  };
}

/** Two bones that widen towards a joint, in soft tissue, upright on the film. */
function knee(number: number): Film {
  const random = new Random(1, number);
  const [rows, columns] = [110, 80];
  const [centre, shaft, joint] = [40 + 3 * random.normal(), 11 + random.normal(), 55 + 4 * random.normal()];
  return draw(rows, columns, (x, y) => {
    const away = Math.abs(x - centre);
    const half = shaft + 8 * Math.exp(-(((y - joint) / 19) ** 2));
    const bone =
      away < half && Math.abs(y - joint) > 1.5 ? 0.08 + 0.45 * Math.sqrt(1 - (away / half) ** 2) : 0;
    const soft = away < 30 ? 0.35 * Math.sqrt(1 - (away / 30) ** 2) : 0;
    return bone + soft + 0.015 * random.normal();
  });
}

function blobs(number: number): Film {
  const random = new Random(2, number);
  const spots = Array.from(
    { length: 5 },
    () => [random.uniform(), random.uniform(), random.uniform()] as const,
  );
  return draw(64, 64, (x, y) =>
    spots.reduce(
      (sum, [u, v, r]) => sum + 0.3 * Math.exp(-((x - 64 * u) ** 2 + (y - 64 * v) ** 2) / (6 + 14 * r) ** 2),
      0.02 * random.uniform(),
    ),
  );
}

const many = (make: (number: number) => Film): Uint8Array[] =>
  Array.from({ length: IMAGES }, (_, number) => cached(make(number)));

describe("beside three phantom hospitals", () => {
  let chests: Uint8Array[][];
  beforeAll(() => {
    chests = HOSPITALS.slice(0, 3).map((hospital) =>
      [...pictures({ ...hospital, share: 1 }, { seed: 3, images: IMAGES })].map(({ film, scanner }) =>
        cached({ rows: scanner.rows, columns: scanner.columns, values: film }),
      ),
    );
  });

  function among(...sites: readonly Uint32Array[]): readonly Comparison[] {
    const total = sumOfFingerprints(sites);
    return sites.map((site) => compareWithOthers(site, total));
  }
  const hospitals = (record?: Partial<CachedRecord>): Uint32Array[] =>
    chests.map((images) => fingerprint(images, record));

  it("each of them is like the others, although their vendors' looks are caricatures", () => {
    for (const { unlike } of among(...hospitals())) expect(unlike).toEqual([]);
  });

  it("knees show by their pictures alone, and the hospitals with chests are not blamed", () => {
    const compared = among(...hospitals(), fingerprint(many(knee)));
    expect(compared.map(({ unlike }) => unlike.length > 0)).toEqual([false, false, false, true]);
    expect(compared[3]?.unlike).toContain("place");
  });

  it("knees show the more where the header names them", () => {
    const compared = among(
      ...hospitals({ bodyPart: "CHEST" }),
      fingerprint(many(knee), { bodyPart: "KNEE" }),
    );
    expect(compared[3]?.unlike[0]).toBe("bodyPart");
  });

  it("thumbnails show by their size", () => {
    const [first = [], ...others] = chests;
    const compared = among(
      ...others.map((images) => fingerprint(images)),
      fingerprint(first, { rows: 28, columns: 28 }),
    );
    expect(compared[2]?.unlike).toContain("size");
  });

  it("negatives show, and so do pictures that lie on their side", () => {
    const [first = [], ...others] = chests;
    const usual = others.map((images) => fingerprint(images));
    const negative = first.map((image) => image.map((grey) => 255 - grey));
    const lying = first.map((image) =>
      image.map((_, i) => image[(i % SIZE) * SIZE + Math.floor(i / SIZE)] ?? 0),
    );
    for (const images of [negative, lying])
      expect(among(...usual, fingerprint(images))[2]?.unlike).toContain("place");
  });

  it("blobs are several times farther from the hospitals than these are from each other", () => {
    const places = (compared: readonly Comparison[]): number[] =>
      compared.map(({ distances }) => distances.place ?? NaN);
    const farthest = Math.max(...places(among(...hospitals())));
    expect(places(among(...hospitals(), fingerprint(many(blobs))))[3]).toBeGreaterThan(3 * farthest);
  });
});

describe("what is counted", () => {
  const shares = (vector: Uint32Array, name: GroupName): Record<string, number> =>
    Object.fromEntries(
      GROUPS.filter((group) => group.name === name)
        .flatMap((group) => group.bins.map((bin, i) => [bin, binsOf(vector, group)[i] ?? 0] as const))
        .filter(([, share]) => share > 0),
    );
  const flat = new Uint8Array(SIZE ** 2).fill(200);

  it("is the picture without the letterbox around it", () => {
    const image = Uint8Array.from({ length: SIZE ** 2 }, (_, i) => (i % SIZE < SIZE / 2 ? 200 : 0));
    const upright = { rows: 1000, columns: 500 };
    const placed = image.map((_, i) => (i % SIZE >= SIZE / 4 && i % SIZE < (3 * SIZE) / 4 ? 200 : 0));
    expect(shares(fingerprint([placed], upright), "intensity")).toEqual({ "25": SHARES });
    expect(shares(fingerprint([image]), "intensity")).toEqual({ "0": SHARES / 2, "25": SHARES / 2 });
  });

  it("is what the header says from closed lists, and nothing where it says nothing", () => {
    const known = fingerprint([flat], { view: "LL", bodyPart: "HAND", vendor: "ge", spacingUm: 143 });
    expect(shares(known, "modality")).toEqual({ radiograph: SHARES });
    expect(shares(known, "view")).toEqual({ lateral: SHARES });
    expect(shares(known, "bodyPart")).toEqual({ "upper limb": SHARES });
    expect(shares(known, "vendor")).toEqual({ ge: SHARES });
    expect(shares(known, "spacing")).toEqual({ "100": SHARES });
    const unknown = fingerprint([flat], { view: null });
    for (const name of ["view", "bodyPart", "vendor", "spacing"] as const)
      expect(shares(unknown, name)).toEqual({});
  });

  it("leaves an empty cache without a fingerprint", () => {
    expect(fingerprint([]).every((share) => share === 0)).toBe(true);
  });
});

it("takes all of a volume's slice, which has no letterbox, whatever the proportions of the original", () => {
  const random = new Random(5, 0);
  const volumes = Array.from({ length: IMAGES }, () =>
    Uint8Array.from({ length: 2 * SIZE ** 2 }, () => Math.floor(256 * random.uniform())),
  );
  const of = (rows: number, columns: number) => {
    const { records, cache } = cacheOf(volumes, { rows, columns }, 2);
    return fingerprintOf(records, cache);
  };
  expect(of(512, 128)).toEqual(of(512, 512));
});
