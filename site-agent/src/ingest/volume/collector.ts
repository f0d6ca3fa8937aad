/**
 * Slices wait here until all files were added, for a series may lie anywhere among them. Of each only its header is kept;
 * then volume after volume is read, a bounded number ahead of the one whose turn it is.
 */
import type { ErrorCode } from "@consilium/shared/errors";
import type { FoundFile } from "../folder.ts";
import type { ReadResult } from "../read-image.ts";
import { groupSlices, type Stack } from "./group.ts";
import type { LookResult } from "./read-volume.ts";
import type { Slice } from "./slice.ts";
import type { VolumePool } from "./volume-pool.ts";

/** Where results go: into the cache, and to whoever counts files. */
export interface VolumeSink {
  /**
   * A volume, for the cache unless it is there already.
   * @param stack that makes it, where that may differ from one ingest to the next
   * @returns why it is not in the cache, if it is not
   */
  readonly put: (result: ReadResult, stack: Stack | null) => Promise<ErrorCode | null>;
  /** Whether the cache holds the volume, made from fewer slices. */
  readonly isLarger: (stack: Stack) => boolean;
  /** What became of a file. `volume` is the key of what it is part of, where it is used. */
  readonly report: (taken: {
    readonly file: FoundFile;
    readonly key: string;
    readonly code: ErrorCode | null;
    readonly volume?: string;
  }) => Promise<void>;
}

/** A file whose slices are in stacks that are still to be read. */
interface Waiting {
  readonly key: string;
  stacks: number;
  volume: string | null;
  code: ErrorCode | null;
}

export class VolumeCollector {
  readonly #pool: VolumePool;
  readonly #limit: number;
  readonly #sink: VolumeSink;
  readonly #ahead: { readonly file: FoundFile; readonly looking: Promise<LookResult> }[] = [];
  #slices: Slice[] = [];
  /** Images whose slices wait, to tell a second file of one. */
  readonly #met = new Set<string>();
  /** When the last slice of a series came. */
  readonly #lastMs = new Map<string, number>();

  /** @param limit files, or stacks, that are read ahead */
  constructor(pool: VolumePool, limit: number, sink: VolumeSink) {
    this.#pool = pool;
    this.#limit = limit;
    this.#sink = sink;
  }

  get isWaiting(): boolean {
    return this.#slices.length > 0;
  }

  /** Looks at the file; waits while too many are looked at ahead of the one whose turn it is. */
  async add(file: FoundFile): Promise<void> {
    const looking = this.#pool.look(file);
    // Whoever awaits it meets the failure; until then it is not an unhandled one.
    looking.catch(() => undefined);
    this.#ahead.push({ file, looking });
    if (this.#ahead.length >= this.#limit) await this.#takeNext();
  }

  /**
   * Makes volumes of all slices that were added, except of series of which one came within the last `quietMs`: more of them may
   * be on their way.
   */
  async flush(quietMs: number, signal?: AbortSignal): Promise<void> {
    while (this.#ahead.length > 0) {
      signal?.throwIfAborted();
      await this.#takeNext();
    }
    const { stacks, refused } = groupSlices(this.#takeQuiet(quietMs));
    const waiting = new Map<FoundFile, Waiting>();
    const at = ({ file, key }: Slice): Waiting => {
      const known = waiting.get(file) ?? { key, stacks: 0, volume: null, code: null };
      waiting.set(file, known);
      return known;
    };
    for (const stack of stacks) for (const slice of firstOfEachFile(stack)) at(slice).stacks += 1;
    for (const { slice, code } of refused) at(slice).code ??= code;
    for (const [file, fate] of waiting) if (fate.stacks === 0) await this.#settle(file, fate);
    await this.#readAll(stacks, waiting, signal);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  #takeQuiet(quietMs: number): readonly Slice[] {
    const now = performance.now();
    const isQuiet = ({ series }: Slice): boolean => now - (this.#lastMs.get(series) ?? 0) >= quietMs;
    const quiet = this.#slices.filter(isQuiet);
    this.#slices = this.#slices.filter((slice) => !isQuiet(slice));
    for (const { series, key } of quiet) {
      this.#lastMs.delete(series);
      this.#met.delete(key);
    }
    return quiet;
  }

  async #takeNext(): Promise<void> {
    const next = this.#ahead.shift();
    if (next === undefined) return;
    const { file } = next;
    const result = await next.looking;
    if (result.outcome !== "slices") {
      const code = await this.#sink.put(result, null);
      const { key } = result;
      await this.#sink.report({ file, key, code, ...(code === null && { volume: key }) });
      return;
    }
    const key = result.slices[0]?.key ?? "";
    if (this.#met.has(key)) {
      await this.#sink.report({ file, key, code: "dicom.duplicate" });
      return;
    }
    this.#met.add(key);
    for (const slice of result.slices) {
      this.#slices.push({ ...slice, file });
      this.#lastMs.set(slice.series, performance.now());
    }
  }

  async #readAll(
    stacks: readonly Stack[],
    waiting: ReadonlyMap<FoundFile, Waiting>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const ahead: { readonly stack: Stack; readonly reading: Promise<ReadResult> }[] = [];
    const takeNext = async (): Promise<void> => {
      const next = ahead.shift();
      if (next === undefined) return;
      const result = await next.reading;
      const code = await this.#sink.put(result, next.stack);
      for (const { file } of firstOfEachFile(next.stack)) {
        const fate = waiting.get(file);
        if (fate === undefined) continue;
        fate.stacks -= 1;
        if (code === null) fate.volume ??= result.key;
        else fate.code ??= code;
        if (fate.stacks === 0) await this.#settle(file, fate);
      }
    };
    for (const stack of stacks) {
      signal?.throwIfAborted();
      const reading = this.#pool.read(stack, this.#sink.isLarger(stack));
      reading.catch(() => undefined);
      ahead.push({ stack, reading });
      if (ahead.length >= this.#limit) await takeNext();
    }
    while (ahead.length > 0) {
      signal?.throwIfAborted();
      await takeNext();
    }
  }

  /** A file of which a part is used counts as used. */
  async #settle(file: FoundFile, { key, volume, code }: Waiting): Promise<void> {
    await this.#sink.report(
      volume === null
        ? { file, key, code: code ?? "dicom.decode-failed" }
        : { file, key, code: null, volume },
    );
  }
}

/** One slice for each file of the stack. */
function firstOfEachFile({ slices }: Stack): readonly Slice[] {
  return [...new Map(slices.map((slice) => [slice.file, slice])).values()];
}
