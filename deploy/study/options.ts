/** The study's command line. */
import { Command, InvalidArgumentError, Option } from "commander";
import type { DemoOptions } from "../demo/options.ts";

export const ENCODERS = ["scratch", "alone", "federated", "pooled"] as const;
/** Where the weights come from: at random, each site's images alone, the federation, all images in one place. */
export type EncoderKind = (typeof ENCODERS)[number];

export interface StudyOptions extends Pick<DemoOptions, "data" | "rounds" | "model" | "seed" | "images"> {
  readonly encoders: readonly EncoderKind[];
  /** Shares of the pooled labels, ascending. */
  readonly fractions: readonly number[];
  /** Fine-tunings for each encoder and share, each with other labels. */
  readonly seeds: number;
  readonly modes: readonly ("probe" | "finetune")[];
  /** Passes over the labels; null leaves it to the sites' default. */
  readonly epochs: number | null;
  readonly out: string;
  /** Throws away what an earlier run has done. */
  readonly fresh: boolean;
}

type Flags = Omit<StudyOptions, "data" | "rounds" | "images" | "epochs"> & {
  readonly data?: string;
  readonly rounds?: number;
  readonly quick: boolean;
};

const QUICK = { rounds: 2, images: 40, fractions: [0.2, 1], seeds: 1, epochs: 4 } as const;
const PHANTOM_IMAGES = 320;
const ROUNDS = 25;

/** @param args without node and script; commander prints help and errors itself and then throws CommanderError */
export function parseOptions(args: readonly string[]): StudyOptions {
  const command = new Command("npm run study --")
    .description(
      `How many labels does an encoder save? Pre-trains one from scratch, at each site alone, federated and on pooled images, and
fine-tunes each at several shares of the labels, several times. Stop it at any time: it goes on where it was.`.replaceAll(
        "\n",
        " ",
      ),
    )
    .option("--data <dir>", "hospitals: one sub-folder each, and one named test (default: phantoms)")
    .option("--encoders <list>", `which of ${ENCODERS.join(", ")}`, encoders, ENCODERS)
    .option("--fractions <list>", "shares of the labels, separated by commas", fractions, [0.01, 0.1, 1])
    .option("--seeds <n>", "fine-tunings for each encoder and share", integer(1, 100), 3)
    .option("--modes <list>", "probe, finetune", modes, ["finetune"])
    .option("--rounds <n>", `rounds of federated training (default: ${ROUNDS})`, integer(1, 100_000))
    .addOption(
      new Option("--model <size>", "size of the network")
        .choices(["nano", "tiny", "small", "base"])
        .default("nano"),
    )
    .option("--seed <n>", "seed of the plan, and of the phantoms", integer(0, 0xffff_ffff), 1)
    .option("--out <dir>", "output folder", ".consilium/study")
    .option("--fresh", "throw away what an earlier run in the output folder has done", false)
    .option("--quick", "a very short run on phantoms, to see that everything works", false)
    .addHelpText(
      "after",
      `
Examples:
  npm run study -- --data hospitals
  npm run study -- --data hospitals --fractions 0.01,0.05,0.25,1 --seeds 5 --out study
  npm run study -- --quick`,
    )
    .exitOverride();
  const { quick, rounds, data, ...flags } = command.parse(args, { from: "user" }).opts<Flags>();
  const images = quick ? QUICK.images : PHANTOM_IMAGES;
  return Object.freeze({
    ...flags,
    data: data ?? null,
    images,
    epochs: quick ? QUICK.epochs : null,
    rounds: rounds ?? (quick ? QUICK.rounds : ROUNDS),
    ...(quick ? { fractions: QUICK.fractions, seeds: QUICK.seeds } : {}),
  });
}

const listOf =
  <T extends string>(known: readonly T[]) =>
  (text: string): readonly T[] => {
    const words = text.split(",").map((word) => word.trim());
    const chosen = known.filter((word) => words.includes(word));
    if (chosen.length !== words.length)
      throw new InvalidArgumentError(`Choose from ${known.join(", ")}, separated by commas.`);
    return chosen;
  };
const encoders = listOf(ENCODERS);
const modes = listOf(["probe", "finetune"] as const);

function fractions(text: string): readonly number[] {
  const values = text.split(",").map(Number);
  if (!values.every((value) => value > 0 && value <= 1))
    throw new InvalidArgumentError("Give numbers above 0, at most 1, separated by commas.");
  return [...new Set(values)].sort((a, b) => a - b);
}

function integer(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < low || value > high || text.trim() === "")
      throw new InvalidArgumentError(`Give a whole number from ${low} to ${high}.`);
    return value;
  };
}
