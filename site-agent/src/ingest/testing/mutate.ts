/** DICOM files and damage to them, for tests of what decoders and parsers survive. Seeded: a failure repeats. */
import { writeDicom, type FixtureElement, type FixtureOptions } from "./dicom-fixture.ts";
import { syntheticImage, type FixtureImage } from "./synthetic-image.ts";

export interface SeedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const SYNTAXES = [
  "implicit",
  "explicit",
  "big-endian",
  "deflated",
  "encapsulated-native",
  "frame-deflate",
  "rle",
  "jpeg",
  "jpeg-lossless",
  "jpeg-ls",
  "jpeg-2000",
  "ht-jpeg-2000",
  "jpeg-xl",
] as const;

/** Sound files: every kind of pixel data, one and several frames, palettes and functional groups. */
export async function seedFiles(): Promise<readonly SeedFile[]> {
  const small = { rows: 24, columns: 20 };
  const grey = syntheticImage({ ...small, bitsAllocated: 16, bitsStored: 12 });
  const eight = syntheticImage(small);
  const colour = syntheticImage({ ...small, samples: 3, photometric: "RGB" });
  const files: SeedFile[] = [];
  const add = async (name: string, image: FixtureImage, options: FixtureOptions): Promise<void> => {
    files.push({ name, bytes: await writeDicom(image, options) });
  };
  for (const syntax of SYNTAXES) {
    await add(syntax, syntax === "jpeg" ? eight : grey, { syntax });
    await add(`${syntax} colour`, colour, { syntax });
    await add(`${syntax} frames`, eight, {
      syntax,
      frames: [eight.data, eight.data, eight.data],
      fragments: 2,
      offsetTable: "basic",
      elements: functionalGroups(3),
    });
  }
  await add("palette", { ...eight, photometric: "PALETTE COLOR" }, { elements: palette() });
  await add("bits", syntheticImage({ ...small, bitsAllocated: 1, bitsStored: 1 }), {});
  await add("wide", syntheticImage({ ...small, bitsAllocated: 32, bitsStored: 24 }), {
    syntax: "big-endian",
  });
  return files;
}

function functionalGroups(frames: number): FixtureElement[] {
  const item = (...elements: FixtureElement[]): { items: FixtureElement[][] } => ({ items: [elements] });
  const spacing: FixtureElement = ["00289110", "SQ", item(["00280030", "DS", "0.5\\0.5"])];
  const perFrame = Array.from({ length: frames }, (_, z): FixtureElement[] => [
    ["00209113", "SQ", item(["00200032", "DS", `0\\0\\${z}`])],
  ]);
  return [
    ["52009229", "SQ", item(spacing)],
    ["52009230", "SQ", { items: perFrame }],
  ];
}

function palette(): FixtureElement[] {
  const segments = new Uint8Array(Uint16Array.from([0, 2, 0, 9, 1, 254, 65535]).buffer);
  return [1, 2, 3].flatMap((channel): FixtureElement[] => [
    [`0028110${channel}`, "US", [256, 0, 16]],
    [`0028122${channel}`, "OW", segments],
  ]);
}

/** Lehmer's generator: 0 .. bound - 1. */
export function generator(seed: number): (bound: number) => number {
  let state = (seed % 2_147_483_646) + 1;
  return (bound) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % bound;
  };
}

/** Numbers on which lengths, sizes and counts go wrong. */
const EXTREMES = [
  0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff,
];

type Damage = (bytes: Buffer, next: (bound: number) => number) => Buffer;

const DAMAGES: readonly Damage[] = [
  /** Bytes anywhere. */
  (bytes, next) => overwrite(bytes, next, 132),
  /** Bytes in the second half, where the pixels are. */
  (bytes, next) => overwrite(bytes, next, bytes.length >> 1),
  /** Single bits. */
  (bytes, next) => {
    for (let flips = 1 + next(4); flips > 0; flips--) {
      const at = 132 + next(bytes.length - 132);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8));
    }
    return bytes;
  },
  /** The end is missing. */
  (bytes, next) => bytes.subarray(0, next(bytes.length)),
  /** A piece is missing. */
  (bytes, next) => {
    const from = next(bytes.length);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + next(32))]);
  },
  /** A piece is there twice. */
  (bytes, next) => {
    const from = next(bytes.length);
    return Buffer.concat([bytes.subarray(0, from + 1 + next(64)), bytes.subarray(from)]);
  },
  /** A number is as small or large as it can be. */
  (bytes, next) => {
    const extreme = EXTREMES[next(EXTREMES.length)] ?? 0;
    const at = 132 + next(Math.max(1, bytes.length - 136));
    if (extreme > 0xffff || next(2) === 0) bytes.writeUInt32LE(extreme, at);
    else bytes.writeUInt16LE(extreme, at);
    return bytes;
  },
];

function overwrite(bytes: Buffer, next: (bound: number) => number, first: number): Buffer {
  for (let writes = 1 + next(8); writes > 0; writes--) bytes[first + next(bytes.length - first)] = next(256);
  return bytes;
}

/** A damaged copy. */
export function mutate(bytes: Uint8Array, next: (bound: number) => number): Uint8Array {
  const damage = DAMAGES[next(DAMAGES.length)];
  return damage === undefined ? bytes : damage(Buffer.from(bytes), next);
}
