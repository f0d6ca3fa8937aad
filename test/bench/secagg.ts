/**
 * Secure aggregation: masks against the cipher alone, encoding against a copy of memory, sharing and rebuilding keys.
 * Seconds are those of one core (processor time), which other work on the machine disturbs less than the clock.
 */
import { createCipheriv, randomBytes } from "node:crypto";
import { splitSecret, combineShares } from "@consilium/shared/secagg/shamir";
import { encoder, maskedBlocks, type PrivateValues } from "@consilium/shared/secagg/encode";
import { geometryOf, vectorLayoutSchema } from "@consilium/shared/secagg/layout";
import { BLOCK_BYTES, addMasks, type MaskTerm } from "@consilium/shared/secagg/masks";
import { addToBlock } from "@consilium/shared/secagg/ring";
import { thresholdOf } from "@consilium/shared/secagg/threshold";
import { atLeast, atMost, type Benchmark, type Figure } from "./bench.ts";
import { median } from "./statistics.ts";

/** ViT-S/16 with its MAE decoder, nearly. */
const PARAMETERS = 22_000_000;
const SITES = 10;
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
  const seconds = interleaved(repeats, {
    cipher: blocks(() => createCipheriv("aes-256-ctr", key, zeros.subarray(0, 16)).update(zeros)),
    mask: blocks((offset) => {
      addMasks(wide, { offset, bytes: target }, terms);
    }),
    narrowMask: blocks((offset) => {
      addMasks(narrow, { offset, bytes: target }, terms);
    }),
    fold: blocks((offset) => {
      addToBlock(wide, { offset, bytes: target }, zeros, 1);
    }),
    encode: blocks((offset) => wideEncoder.body(offset, BLOCK_BYTES)),
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
    "secure aggregation: masks against AES-CTR alone, sharing for 3, 10, 100 sites, encoding against a copy",
  help: "--repeats 5               measured turns, after one to warm up",
  run: (options, log) => {
    const repeats = options.repeats ?? 5;
    log("streams: cipher, masks, encoding, copy");
    const { rate, seconds } = streams(repeats);
    const gigabytes: Figure[] = [
      { label: "AES-256-CTR alone", value: rate("cipher"), unit: "GB/s" },
      { label: "mask, made and added, 32 bit", value: rate("mask"), unit: "GB/s" },
      { label: "mask, made and added, 16 bit", value: rate("narrowMask"), unit: "GB/s" },
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
    // 95 survivors' self masks, and of 5 lost sites the masks with each of them; 95 vectors to fold.
    const bytes = 4 * PARAMETERS;
    const removed = ((95 + 5 * 95) * bytes) / rate("mask") / GIGA;
    const folded = (95 * bytes) / rate("fold") / GIGA;
    return Promise.resolve({
      results: [
        ...gigabytes,
        ...shares,
        { label: "coordinator, 100 sites, 5 lost, 22 M: core seconds", value: removed + folded, unit: "s" },
      ],
      targets: [
        atLeast("mask, of the cipher's own rate", seconds.cipher / seconds.mask, 0.6),
        atMost(`site of ${SITES}, 22 M parameters, encode and mask`, siteSeconds, 1.2, " s of one core"),
        atMost("coordinator, 100 sites, 5 lost, on two cores", (removed + folded) / 2, 40, " s"),
      ],
      notes: [
        "The coordinator's seconds are computed from the measured rates, not run; two cores are taken as twice one.",
        "Sharing is the arithmetic alone; signatures and key agreement are tweetnacl's, a few ms each.",
      ],
    });
  },
};
