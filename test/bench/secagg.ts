/**
 * Secure aggregation: masks against the cipher alone, encoding against a copy of memory, sharing and rebuilding keys.
 * Seconds are those of one core (processor time), which other work on the machine disturbs less than the clock.
 */
import { createCipheriv, randomBytes } from "node:crypto";
import { splitSecret, combineShares } from "@consilium/shared/secagg/shamir";
import { encoder, maskedBlocks, type PrivateValues } from "@consilium/shared/secagg/encode";
import { giveBack } from "@consilium/shared/give-back";
import { geometryOf } from "@consilium/shared/secagg/layout";
import { vectorLayoutSchema } from "@consilium/shared/secagg/layout-schema";
import { BLOCK_BYTES, addMasks, type MaskTerm } from "@consilium/shared/secagg/masks";
import { addToBlock } from "@consilium/shared/secagg/ring";
import { thresholdOf } from "@consilium/shared/secagg/threshold";
import { atLeast, atMost, type Benchmark, type Figure } from "./bench.ts";
import { coordinatorRound, type CoordinatorSeconds } from "./secagg-coordinator.ts";
import { flowerSecagg, HOW_TO_ADD_FLOWER } from "./secagg-flower.ts";
import { roundSeconds } from "./secagg-round.ts";
import { median } from "./statistics.ts";

/** ViT-S/16 with its MAE decoder, nearly. */
const PARAMETERS = 22_000_000;
const SITES = 10;
const LARGE = { sites: 100, lost: 5 };
const TRAINING_MS = 10_000;
const BLOCKS = 256;
const GIGA = 1e9;

const random = (length: number) => new Uint8Array(randomBytes(length));

/** Seconds of processor time. */
function cpuSeconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** The parts turn by turn, so that what else the machine does falls on all of them; medians, in seconds. */
function interleaved<Name extends string>(
  repeats: number,
  parts: Readonly<Record<Name, () => void>>,
): Readonly<Record<Name, number>> {
  const names = Object.keys(parts) as Name[];
  const taken = new Map<Name, number[]>(names.map((name) => [name, []]));
  for (let turn = 0; turn <= repeats; turn++) {
    for (const name of names) {
      const seconds = cpuSeconds(parts[name]);
      if (turn > 0) taken.get(name)?.push(seconds);
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(taken.get(name) ?? [])])) as Record<
    Name,
    number
  >;
}

const layoutFor = (sites: number, link: "wide" | "narrow", length: number) =>
  vectorLayoutSchema.parse({
    sites,
    link,
    examplesCap: 1000,
    tensors: [{ name: "weight", length, bound: 0.05 }],
  });

const valuesFor = (length: number): PrivateValues => ({
  update: Float32Array.from({ length }, (_, i) => 0.04 * Math.sin(i)),
  examples: 700,
  extras: {},
  roundingKey: random(32),
});

/** Bytes a second of the cipher, of a mask with and without the addition's share, of encoding and of a copy. */
function streams(repeats: number) {
  const bytes = BLOCKS * BLOCK_BYTES;
  const wide = geometryOf(layoutFor(SITES, "wide", bytes / 4));
  const narrow = geometryOf(layoutFor(SITES, "narrow", bytes / 2));
  const values = valuesFor(bytes / 4);
  const wideEncoder = encoder(layoutFor(SITES, "wide", bytes / 4), values);
  const key = random(32);
  const zeros = new Uint8Array(BLOCK_BYTES);
  const target = new Uint8Array(BLOCK_BYTES);
  const copy = new Float32Array(bytes / 4);
  const blocks = (work: (offset: number) => void) => () => {
    for (let block = 0; block < BLOCKS; block++) work(block * BLOCK_BYTES);
  };
  const terms: MaskTerm[] = [{ key, sign: -1 }];
  const tenTerms = Array.from({ length: 10 }, (): MaskTerm => ({ key: random(32), sign: 1 }));
  const seconds = interleaved(repeats, {
    // Its blocks are given back too: left to the collector they may take twice as long, or not, from run to run.
    cipher: blocks(() => {
      giveBack(createCipheriv("aes-256-ctr", key, zeros.subarray(0, 16)).update(zeros));
    }),
    mask: blocks((offset) => {
      addMasks(wide, { offset, bytes: target }, terms);
    }),
    tenMasks: blocks((offset) => {
      addMasks(wide, { offset, bytes: target }, tenTerms);
    }),
    narrowMask: blocks((offset) => {
      addMasks(narrow, { offset, bytes: target }, terms);
    }),
    fold: blocks((offset) => {
      addToBlock(wide, { offset, bytes: target }, zeros, 1);
    }),
    encode: blocks((offset) => {
      giveBack(wideEncoder.body(offset, BLOCK_BYTES).bytes);
    }),
    copy: () => {
      copy.set(values.update);
    },
  });
  const rate = (part: keyof typeof seconds) => bytes / seconds[part] / GIGA;
  return { rate, seconds };
}

function sharing(sites: number, repeats: number) {
  const threshold = thresholdOf(sites);
  const secret = random(32);
  const shares = splitSecret(secret, { holders: sites, threshold }, random);
  const points = shares.slice(-threshold).map((share, i) => ({ x: sites - threshold + i + 1, share }));
  const rounds = Math.ceil(200 / sites);
  const times = (work: () => void) => () => {
    for (let round = 0; round < rounds; round++) work();
  };
  const { split, combine } = interleaved(repeats, {
    split: times(() => splitSecret(secret, { holders: sites, threshold }, random)),
    combine: times(() => combineShares(points)),
  });
  // A site shares two secrets; the coordinator rebuilds one for each site.
  return { shareMs: (2000 * split) / rounds, rebuildMs: (1000 * sites * combine) / rounds };
}

function wholeSite(): number {
  const layout = layoutFor(SITES, "wide", PARAMETERS);
  const values = valuesFor(PARAMETERS);
  const terms = Array.from({ length: SITES }, (_, i): MaskTerm => ({
    key: random(32),
    sign: i % 2 === 0 ? 1 : -1,
  }));
  return cpuSeconds(() => {
    let bytes = 0;
    for (const block of maskedBlocks(layout, values, terms)) bytes += block.bytes.length;
    if (bytes !== geometryOf(layout).totalBytes) throw new Error("the vector is not whole");
  });
}

export const secagg: Benchmark = {
  name: "secagg",
  summary:
    "secure aggregation: masks, sharing, a site of 10, a coordinator of 100, whole rounds with and without, and Flower's SecAgg+",
  help: `--repeats 5               measured turns of the small parts, after one to warm up

Flower runs where CONSILIUM_PYTHON, else python3, can import flwr. Takes some minutes, and 1 GiB of the temporary folder.`,
  async run(options, log) {
    const repeats = options.repeats ?? 5;
    log("streams: cipher, masks, encoding, copy");
    const { rate, seconds } = streams(repeats);
    const gigabytes: Figure[] = [
      { label: "AES-256-CTR alone", value: rate("cipher"), unit: "GB/s" },
      { label: "mask, made and added, 32 bit", value: rate("mask"), unit: "GB/s" },
      { label: "mask, made and added, 16 bit", value: rate("narrowMask"), unit: "GB/s" },
      { label: "ten masks at once, 32 bit", value: 10 * rate("tenMasks"), unit: "GB/s" },
      { label: "one site's vector, folded", value: rate("fold"), unit: "GB/s" },
      { label: "encoding, of float32", value: rate("encode"), unit: "GB/s" },
      { label: "memory copy", value: rate("copy"), unit: "GB/s" },
      { label: "encoding, of a copy's rate", value: (100 * seconds.copy) / seconds.encode, unit: "%" },
    ];
    const shares = [3, 10, 100].flatMap((sites): Figure[] => {
      log(`sharing among ${sites} sites`);
      const { shareMs, rebuildMs } = sharing(sites, repeats);
      return [
        { label: `${sites} sites: a site shares both secrets`, value: shareMs, unit: "ms" },
        {
          label: `${sites} sites: the coordinator rebuilds one secret of each`,
          value: rebuildMs,
          unit: "ms",
        },
      ];
    });
    log(`one site of ${SITES} with ${PARAMETERS / 1e6} M parameters`);
    const siteSeconds = median(Array.from({ length: Math.min(3, repeats) }, wholeSite));
    log("Flower's SecAgg+ on the same vector");
    const flower = await flowerSecagg(PARAMETERS, SITES);
    const coordinator = await coordinatorRound(PARAMETERS, LARGE, log);
    const rounds: Record<"plain" | "masked", number> = { plain: NaN, masked: NaN };
    for (const secure of ["plain", "masked"] as const) {
      log(`a ${secure} round of 3 sites whose training takes ${TRAINING_MS / 1000} s`);
      rounds[secure] = await roundSeconds(secure, PARAMETERS, TRAINING_MS);
    }
    return {
      results: [
        ...gigabytes,
        ...shares,
        ...coordinatorFigures(coordinator),
        { label: "a plain round of 3 sites, 10 s of training, 22 M", value: rounds.plain, unit: "s" },
        { label: "the same round, masked", value: rounds.masked, unit: "s" },
        ...(flower === null
          ? []
          : flowerFigures(
              flower,
              siteSeconds,
              (LARGE.sites - LARGE.lost) * coordinator.arrivalCore + coordinator.opening.core,
            )),
      ],
      targets: [
        atLeast("mask, of the cipher's own rate", seconds.cipher / seconds.mask, 0.6),
        atMost(`site of ${SITES}, 22 M parameters, encode and mask`, siteSeconds, 1.2, " s of one core"),
        atMost(
          "coordinator, 100 sites, 5 lost, 22 M, last release to checkpoint",
          coordinator.opening.wall,
          40,
          " s",
        ),
        atMost("a masked round, over a plain one", 100 * (rounds.masked / rounds.plain - 1), 5, " %"),
      ],
      notes: [
        "Sharing is the arithmetic alone; signatures are tweetnacl's, 4 ms each.",
        "The coordinator's frames are made backwards, so that its sum can be checked; the site of the round rests instead of training.",
        ...(flower === null ? [HOW_TO_ADD_FLOWER] : FLOWER_NOTES),
      ],
    };
  },
};

function coordinatorFigures({ arrivalCore, opening, restarted }: CoordinatorSeconds): Figure[] {
  const of = "coordinator, 100 sites, 5 lost, 22 M";
  return [
    { label: `${of}: a vector hashed and added as it arrives`, value: arrivalCore, unit: "s of one core" },
    { label: `${of}: masks, mean and checkpoint, processor time`, value: opening.core, unit: "s" },
    { label: `${of}: last release to checkpoint after a restart`, value: restarted.wall, unit: "s" },
  ];
}

const FLOWER_NOTES = [
  "Flower: its own client's function for masking and its server's for a mask, its default ranges (22 bits, modulus 2^32); the coordinator's 570 masks are one mask times 570, not run.",
  "Flower folds each mask's seed to 32 bits for NumPy's Mersenne Twister, which is faster than a cipher could be at it and no cryptographic generator.",
];

function flowerFigures(
  flower: NonNullable<Awaited<ReturnType<typeof flowerSecagg>>>,
  siteSeconds: number,
  coordinatorSeconds: number,
): Figure[] {
  const masks = (LARGE.sites - LARGE.lost) * (1 + LARGE.lost);
  return [
    {
      label: `Flower ${flower.flower}: site of ${SITES}, same vector`,
      value: flower.siteSeconds,
      unit: "s of one core",
    },
    { label: "the same, as many times ours", value: flower.siteSeconds / siteSeconds, unit: "x" },
    { label: "Flower: bytes sent, of ours", value: flower.sentBytes / (4 * PARAMETERS), unit: "x" },
    {
      label: `Flower: ${masks} masks at the coordinator`,
      value: masks * flower.maskSeconds,
      unit: "s of one core",
    },
    {
      label: "the same, as many times ours with folding",
      value: (masks * flower.maskSeconds) / coordinatorSeconds,
      unit: "x",
    },
  ];
}
