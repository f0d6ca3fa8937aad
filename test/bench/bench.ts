/** What a benchmark is: what it can be asked, and what it answers. */

export interface Figure {
  readonly label: string;
  readonly value: number;
  readonly unit: string;
}

export interface Target {
  readonly name: string;
  readonly value: number;
  readonly target: string;
  readonly ok: boolean;
}

export interface Findings {
  readonly results: readonly Figure[];
  readonly targets: readonly Target[];
  /** What was left out and why, and what else a reader of the figures has to know. */
  readonly notes: readonly string[];
}

/** From the command line; a benchmark reads those that its help names. */
export interface Options {
  readonly models: readonly string[] | null;
  readonly devices: readonly string[] | null;
  readonly threads: number;
  readonly batch: number | null;
  readonly repeats: number | null;
  readonly tasks: readonly string[] | null;
  readonly epochs: number | null;
  readonly sites: number | null;
}

export interface Benchmark {
  readonly name: string;
  readonly summary: string;
  readonly help: string;
  /** @param log says what is being measured; not part of the result */
  readonly run: (options: Options, log: (line: string) => void) => Promise<Findings>;
}

/** A mistake on the command line. */
export class UsageError extends Error {}

export const atLeast = (name: string, value: number, least: number, unit = ""): Target => ({
  name,
  value,
  target: `>= ${least}${unit}`,
  ok: value >= least,
});

export const atMost = (name: string, value: number, most: number, unit = ""): Target => ({
  name,
  value,
  target: `<= ${most}${unit}`,
  ok: value <= most,
});

/**
 * The members of `known` that were asked for, in that order.
 * @throws UsageError
 */
export function choose<Name extends string>(
  what: string,
  asked: readonly string[] | null,
  known: readonly Name[],
  otherwise: readonly Name[],
): readonly Name[] {
  if (asked === null) return otherwise;
  return asked.map((name) => {
    const found = known.find((candidate) => candidate === name);
    if (found === undefined) throw new UsageError(`--${what} knows ${known.join(", ")}, not ${name}`);
    return found;
  });
}
