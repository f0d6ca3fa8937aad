/** What every command starts from: its home folder, its output, its options. */
import { ConsiliumError } from "@consilium/shared/errors";
import { Command, Option } from "commander";
import { homeFolder } from "../config.ts";
import { openHome, type Home } from "../home/home.ts";
import { createOutput, type Output } from "./output.ts";
import type { CliPorts } from "./ports.ts";

export interface CommonOptions {
  readonly home?: string;
  readonly json?: boolean;
}

export interface CommandContext<O> {
  readonly ports: CliPorts;
  readonly options: O & CommonOptions;
  readonly output: Output;
  readonly homeFolder: string;
  /** @throws home.missing */
  readonly openHome: () => Promise<Home>;
}

/** Ends a command that has shown its result, and whose result is a failure. */
export class Unsuccessful extends Error {}

/** A command with the options that all share, and examples below its help. */
export function siteCommand(name: string, summary: string, details: string, examples: string): Command {
  return new Command(name)
    .summary(summary)
    .description(`${summary}\n\n${details.replaceAll("\n", " ")}`)
    .helpOption("-h, --help", "show this help")
    .addOption(
      new Option(
        "--home <dir>",
        "the site's home folder (default: $CONSILIUM_SITE_HOME or ~/.consilium/site)",
      ),
    )
    .addOption(new Option("--json", "print JSON, one object a line, for programs"))
    .addHelpText("after", `\nExamples:\n${indent(examples)}`);
}

/** Wires an action: what it needs is made from the parsed options. */
export function handle<O>(
  command: Command,
  ports: CliPorts,
  action: (context: CommandContext<O>, ...args: readonly string[]) => Promise<void>,
): Command {
  return command.action(async (...received: unknown[]) => {
    // Commander passes the arguments, then the options, then the command.
    const args = received.slice(0, -2).filter((arg) => typeof arg === "string");
    // A command that has others below it takes their common options, wherever they stand.
    const options = command.optsWithGlobals<O & CommonOptions>();
    const folder = homeFolder(options.home, ports.env, ports.userHome);
    const context: CommandContext<O> = {
      ports,
      options,
      output: createOutput(ports, options.json === true),
      homeFolder: folder,
      openHome: () => openHome(folder),
    };
    await action(context, ...args);
  });
}

/** Parser of a whole number of at least `least`. */
export function wholeNumber(option: string, least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < least) {
      throw new ConsiliumError("config.invalid", {
        detail: `(${option}: give a whole number of at least ${least})`,
        culprits: [option],
      });
    }
    return value;
  };
}

/** Parser of a number in (0, 1]. */
export function fraction(option: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(value > 0 && value <= 1)) {
      throw new ConsiliumError("config.invalid", {
        detail: `(${option}: give a number above 0 and at most 1)`,
        culprits: [option],
      });
    }
    return value;
  };
}

/** Parser of one of the known words. */
export function oneOf<T extends string>(option: string, words: readonly T[]): (text: string) => T {
  return (text) => {
    const known = words.find((word) => word === text);
    if (known !== undefined) return known;
    throw new ConsiliumError("config.invalid", {
      detail: `(${option}: choose ${words.join(", ")})`,
      culprits: [option],
    });
  };
}

/** Gathers an option that is given several times. */
export const collect = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

/** Parser of a comma-separated list of known words. */
export function listOf<T extends string>(
  option: string,
  words: readonly T[],
): (text: string) => readonly T[] {
  return (text) => {
    const chosen = text.split(",").map((word) => word.trim());
    const known = chosen.filter((word): word is T => words.includes(word as T));
    if (known.length !== chosen.length || new Set(known).size !== known.length) {
      throw new ConsiliumError("config.invalid", {
        detail: `(${option}: choose from ${words.join(", ")}, separated by commas)`,
        culprits: [option],
      });
    }
    return known;
  };
}

const indent = (text: string): string =>
  text
    .trim()
    .split("\n")
    .map((line) => `  ${line.trim()}`)
    .join("\n");
