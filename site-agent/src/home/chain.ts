/**
 * A file of JSON lines, each with the hash of the one before, so that a line cannot be changed or taken out of the middle
 * unnoticed. A line is on disk when `add` resolves.
 */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { appendDurably, cutFile, exclusively, readTextIfPresent } from "./files.ts";

export interface Chain<Entry extends object> {
  /** Stands before the first line. */
  readonly start: string;
  /** The entry that a line holds, without its link, or undefined if it is none. */
  readonly parse: (value: unknown) => Entry | undefined;
  /** Thrown when a line or its link is not what was written. */
  readonly broken: ErrorCode;
}

export interface ChainedFile<Entry extends object> {
  add(entry: Entry): Promise<void>;
  /** @throws the chain's error, naming the line */
  entries(): Promise<readonly Entry[]>;
}

export function chainedFile<Entry extends object>(file: string, chain: Chain<Entry>): ChainedFile<Entry> {
  let pending: Promise<unknown> = Promise.resolve();
  const append = async (entry: Entry): Promise<void> => {
    const text = (await readTextIfPresent(file)) ?? "";
    const whole = wholeLines(text);
    // What a line announces only happens after it is on disk: one that a crash left unfinished announced nothing.
    if (whole.length < text.length) await cutFile(file, Buffer.byteLength(whole));
    const last = whole.trimEnd().split("\n").at(-1) ?? "";
    const previous = last === "" ? sha256(chain.start) : sha256(last);
    await appendDurably(file, `${canonicalJson({ ...entry, previous })}\n`);
  };
  return {
    add(entry) {
      const added = pending.then(() => exclusively(file, () => append(entry)));
      pending = added.catch(() => undefined);
      return added;
    },
    entries: async () => parseChain(wholeLines((await readTextIfPresent(file)) ?? ""), chain),
  };
}

/** @throws the chain's error, naming the line */
function parseChain<Entry extends object>(text: string, chain: Chain<Entry>): readonly Entry[] {
  let expected = sha256(chain.start);
  return text
    .split("\n")
    .slice(0, -1)
    .map((line, index) => {
      const { previous, ...rest } = parseObject(line);
      const entry = previous === expected ? chain.parse(rest) : undefined;
      if (entry === undefined) throw new ConsiliumError(chain.broken, { detail: `(line ${index + 1})` });
      expected = sha256(line);
      return entry;
    });
}

const wholeLines = (text: string): string => text.slice(0, text.lastIndexOf("\n") + 1);

function parseObject(line: string): Record<string, unknown> {
  try {
    return { ...(JSON.parse(line) as object) };
  } catch {
    return {};
  }
}
