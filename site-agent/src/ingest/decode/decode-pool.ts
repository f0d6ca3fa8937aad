/** Decodes whole files in threads, so that a decoder that hangs or traps ends with a code. */
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { WorkerPool } from "../worker-pool.ts";
import type { DecodeFileOptions, DecodeReport } from "./decode-file.ts";

export type DecodeOutcome =
  | { readonly outcome: "decoded"; readonly report: DecodeReport }
  | { readonly outcome: "failed"; readonly code: ErrorCode; readonly detail?: string };

const SCRIPT = new URL("./decode-worker.ts", import.meta.url);

export class DecodePool {
  readonly #pool: WorkerPool<DecodeFileOptions, DecodeOutcome>;

  /** @param timeoutMs for each frame */
  constructor({ threads, timeoutMs }: { readonly threads: number; readonly timeoutMs: number }) {
    this.#pool = new WorkerPool({ threads, timeoutMs, script: SCRIPT, data: null });
  }

  /** @throws dicom.*, disk.*; dicom.decode-failed also for a decoder that hung or died */
  async decode(options: DecodeFileOptions): Promise<DecodeReport> {
    const outcome = await this.#pool.run(options);
    if (outcome === null)
      throw new ConsiliumError("dicom.decode-failed", { detail: "(the decoder hung or died over it)" });
    if (outcome.outcome === "decoded") return outcome.report;
    const { code, detail } = outcome;
    throw new ConsiliumError(code, detail === undefined ? {} : { detail });
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
