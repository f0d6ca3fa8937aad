/** The demo's command line. */
import { Command, InvalidArgumentError, Option } from "commander";

export interface DemoOptions {
  /** Folder with one sub-folder per hospital and one named `test`; null draws phantoms. */
  readonly data: string | null;
  readonly rounds: number;
  readonly model: "nano" | "tiny" | "small" | "base";
  readonly seed: number;
  /** Phantom images per hospital, on average. */
  readonly images: number;
  /** Share of the labels that fine-tuning gets. */
  readonly labelFraction: number;
  /** Fine-tunings per encoder, each with other labels. */
  readonly seeds: number;
  readonly own: boolean;
  readonly keep: boolean;
  readonly quick: boolean;
  /** 0 takes any free port. */
  readonly port: number;
  readonly json: string | null;
  readonly report: string | null;
  readonly out: string;
}

interface Flags {
  readonly data?: string;
  readonly rounds?: number;
  readonly model: DemoOptions["model"];
  readonly seed: number;
  readonly images?: number;
  readonly labelFraction?: number;
  readonly seeds?: number;
  readonly own?: boolean;
  readonly keep: boolean;
  readonly quick: boolean;
  readonly port: number;
  readonly json?: string;
  readonly report?: string;
  readonly out: string;
}

/** What each kind of run takes where nothing is said. Sized for two cores. */
const DEFAULTS = {
  phantom: { rounds: 20, images: 320, labelFraction: 0.06, seeds: 1, own: true },
  folder: { rounds: 25, images: 0, labelFraction: 0.01, seeds: 2, own: false },
  quick: { rounds: 2, images: 40, labelFraction: 0.5, seeds: 1, own: true },
} as const;

/** @param args without node and script; commander prints help and errors itself and then throws CommanderError */
export function parseOptions(args: readonly string[]): DemoOptions {
  const command = new Command("npm run demo --")
    .description(
      "Three hospitals train one encoder on their chest radiographs without sharing an image,\nand each then fine-tunes a classifier with few labels.",
    )
    .option("--data <dir>", "real hospitals: one sub-folder each, and one named test (default: phantoms)")
    .option("--rounds <n>", "rounds of federated training", integer(1, 100_000))
    .addOption(
      new Option("--model <size>", "size of the network")
        .choices(["nano", "tiny", "small", "base"])
        .default("nano"),
    )
    .option("--images <n>", "phantom images per hospital", integer(16, 100_000))
    .option("--label-fraction <f>", "share of the labels that fine-tuning gets", fraction)
    .option("--seeds <n>", "fine-tunings per encoder, each with other labels", integer(1, 100))
    .option("--seed <n>", "seed of the phantoms and of the plan", integer(0, 0xffff_ffff), 1)
    .option("--own", "also train each site's own encoder on its images alone (default with phantoms)")
    .option("--no-own", "skip it (default with --data, where it takes as long as the federation)")
    .option("--quick", "a very short run, to see that everything works", false)
    .option("--port <n>", "the coordinator's port (default: any free one)", integer(0, 65_535), 0)
    .option("--json <file>", "write all numbers here")
    .option("--report <file>", "write the report here (default: report.html in the output folder)")
    .option("--out <dir>", "output folder", ".consilium/demo")
    .option("--keep", "keep the sites' folders and the images", false)
    .exitOverride();
  const flags = command.parse(args, { from: "user" }).opts<Flags>();
  const defaults = DEFAULTS[flags.quick ? "quick" : flags.data === undefined ? "phantom" : "folder"];
  return Object.freeze({
    data: flags.data ?? null,
    rounds: flags.rounds ?? defaults.rounds,
    model: flags.model,
    seed: flags.seed,
    images: flags.images ?? defaults.images,
    labelFraction: flags.labelFraction ?? defaults.labelFraction,
    seeds: flags.seeds ?? defaults.seeds,
    own: flags.own ?? defaults.own,
    keep: flags.keep,
    quick: flags.quick,
    port: flags.port,
    json: flags.json ?? null,
    report: flags.report ?? null,
    out: flags.out,
  });
}

function integer(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < low || value > high || text.trim() === "") {
      throw new InvalidArgumentError(`Give a whole number from ${low} to ${high}.`);
    }
    return value;
  };
}

function fraction(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError("Give a number above 0, at most 1.");
  return value;
}
