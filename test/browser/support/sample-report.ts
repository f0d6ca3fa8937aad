/** A demo's report as a real run would fill it; deterministic, parsed by the report's schema. */
import { createHash } from "node:crypto";
import {
  demoReportSchema,
  type DemoReport,
  type EncoderOrigin,
  type EvaluationRow,
} from "../../../deploy/demo/report/types.ts";
import { siteLoss, SITES } from "./federation-story.ts";
import { greyPng } from "./grey-png.ts";

const SIDE_PX = 64;
const PATCH_PX = 8;
const ROUNDS = 25;
const EXAMPLES = [412, 300, 188] as const;

const sha = (text: string): string => createHash("sha256").update(text).digest("hex");
/** In [0, 1), the same for the same text. */
const chance = (text: string): number => createHash("sha256").update(text).digest().readUInt32BE(0) / 2 ** 32;

export function sampleReport(): DemoReport {
  return demoReportSchema.parse({
    schemaVersion: 1,
    federation: "demo",
    title: "Three phantom hospitals learn to read chest radiographs",
    startedAt: "2026-11-22T21:40:00.000Z",
    durationMs: 236_000,
    data: "phantom",
    question: "Opacity against clear lung",
    options: [
      { name: "--rounds", value: String(ROUNDS) },
      { name: "--model", value: "nano" },
      { name: "--seeds", value: "2" },
      { name: "--label-count", value: "24" },
    ],
    machine: {
      cpu: "Example CPU @ 2.60GHz",
      cores: 2,
      memoryBytes: 8_200_000_000,
      platform: "linux x64",
      node: "20.20.2",
    },
    plan: { federation: "demo", title: "Demo", rounds: ROUNDS },
    planHash: sha("plan"),
    parameters: 1_357_824,
    checkpoint: sha("model"),
    steps: [
      { name: "drawing images", durationMs: 9_200 },
      { name: "reading DICOM", durationMs: 14_800 },
      { name: "training together", durationMs: 121_000 },
      { name: "training alone", durationMs: 38_000 },
      { name: "fine-tuning", durationMs: 47_000 },
      { name: "pictures", durationMs: 6_000 },
    ],
    hospitals: [
      {
        site: "hospital-a",
        look: "Even exposure, 8 bit, fine grain",
        transferSyntaxes: [{ name: "Explicit VR Little Endian", files: 416 }],
        photometricInterpretations: ["MONOCHROME2"],
        files: 416,
        used: 412,
        quarantined: { "dicom.truncated": 2, "dicom.no-pixels": 1, "dicom.duplicate": 1 },
        labels: { matched: 412, unmatched: 0, duplicates: 0 },
      },
      {
        site: "hospital-b",
        look: "Inverted, 12 bit, soft contrast, collimated edges",
        transferSyntaxes: [
          { name: "JPEG-LS Lossless", files: 240 },
          { name: "RLE Lossless", files: 60 },
        ],
        photometricInterpretations: ["MONOCHROME1"],
        files: 300,
        used: 300,
        quarantined: {},
        labels: { matched: 298, unmatched: 2, duplicates: 0 },
      },
      {
        site: "hospital-c",
        look: "Noisy, 10 bit, off-centre, bright markers",
        transferSyntaxes: [{ name: "Implicit VR Little Endian", files: 190 }],
        photometricInterpretations: ["MONOCHROME2", "MONOCHROME1"],
        files: 190,
        used: 188,
        quarantined: { "dicom.burned-in": 2 },
        labels: { matched: 188, unmatched: 0, duplicates: 0 },
      },
    ],
    training: {
      durationMs: 121_000,
      rounds: Array.from({ length: ROUNDS }, (_, index) => {
        const sites = SITES.map((site, position) => ({
          site,
          examples: EXAMPLES[position] ?? 1,
          loss: siteLoss(position, index + 1),
        }));
        const total = sites.reduce((sum, { examples }) => sum + examples, 0);
        return {
          round: index + 1,
          loss: sites.reduce((sum, { examples, loss }) => sum + examples * loss, 0) / total,
          durationMs: 4_700,
          sites,
        };
      }),
    },
    evaluations: SITES.map((site) => ({
      site,
      labels: { images: 24, patients: 20 },
      test: { images: 120, patients: 96 },
      rows: (["probe", "finetune"] as const).flatMap((mode) =>
        (["scratch", "own", "global"] as const).flatMap((from) =>
          [1, 2].map((seed) => row(site, from, mode, seed)),
        ),
      ),
    })),
    references: (["scratch", "global"] as const).map((from) => ({
      name: `${from === "scratch" ? "from scratch" : "federated encoder"}, all hospitals' labels pooled (possible only in a demo, where one machine holds everything)`,
      mode: "finetune",
      labels: 72,
      ...pooled(from),
    })),
    reconstructions: SITES.map((site) => ({ site, images: [triple(site, 0), triple(site, 1)] })),
    outflows: SITES.map((site) => ({
      site,
      objects: [
        {
          kind: "weight updates",
          count: ROUNDS,
          bytes: ROUNDS * 5_431_296,
          protection: "encrypted for the coordinator, signed",
        },
        {
          kind: "progress and control messages",
          count: 620,
          bytes: 188_000,
          protection: "authenticated session",
        },
      ],
    })),
    checks: [
      { name: "Reconstruction loss falls", target: "by at least 30 %", value: "31 %", ok: true },
      { name: "Federated beats from scratch", target: "AUROC by at least 0.10", value: "+0.304", ok: true },
      { name: "Planted identifiers in what was sent", target: "none", value: "0 in 408 MB", ok: true },
      { name: "Whole demo", target: "at most 5 min", value: "3 min 56 s", ok: true },
    ],
    links: [{ label: "Source and documentation", href: "https://example.org/consilium" }],
  });
}

function row(site: string, from: EncoderOrigin, mode: EvaluationRow["mode"], seed: number): EvaluationRow {
  const base = { scratch: 0.58, own: 0.74, global: 0.885 }[from] - (mode === "probe" ? 0.06 : 0);
  const value = base + (chance(`${site}${from}${mode}${seed}`) - 0.5) * 0.09;
  const half = 0.09 - (value - 0.5) * 0.09;
  const around = (middle: number) => ({
    value: middle,
    low: middle - half,
    high: Math.min(1, middle + half * 0.8),
  });
  return { from, mode, seed, auroc: around(value), accuracy: around(0.5 + (value - 0.5) * 0.85) };
}

function pooled(from: EncoderOrigin) {
  const { auroc, accuracy } = row("pooled", from, "finetune", 1);
  return { auroc, accuracy };
}

/** Two dark lungs in a bright chest; three of four patches hidden; the same chest without its grain. */
function triple(site: string, index: number): DemoReport["reconstructions"][number]["images"][number] {
  const chest = (x: number, y: number) => {
    const lung = (centre: number) => Math.exp(-(((x - centre) / 9) ** 4) - ((y - 33) / 21) ** 4);
    const ribs = 14 * Math.sin(y / 2.1 + Math.abs(x - 32) / 7);
    return (
      168 - 110 * (lung(19) + lung(45)) + ribs * (lung(19) + lung(45)) - 40 * (Math.abs(x - 32) > 29 ? 1 : 0)
    );
  };
  const grain = (x: number, y: number) => 26 * (chance(`${site}${index}/${x}/${y}`) - 0.5);
  const original = greyPng(SIDE_PX, (x, y) => chest(x, y) + grain(x, y));
  const isHidden = (x: number, y: number) =>
    chance(`${site}${index}#${Math.floor(x / PATCH_PX)}#${Math.floor(y / PATCH_PX)}`) < 0.75;
  const masked = greyPng(SIDE_PX, (x, y) => (isHidden(x, y) ? 96 : chest(x, y) + grain(x, y)));
  const reconstructed = greyPng(SIDE_PX, (x, y) => chest(Math.round(x / 2) * 2, Math.round(y / 2) * 2));
  return { original, masked, reconstructed };
}
