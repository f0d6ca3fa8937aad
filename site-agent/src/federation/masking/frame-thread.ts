/**
 * Makes masked vectors in a thread of its own. It adds up the masks of an attempt as soon as they are known, while the
 * model still trains; the update is added when it is there. Memory: one vector.
 */
import type { Worker } from "node:worker_threads";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import { unpackError, type PackedError } from "@consilium/shared/packed-error";
import type { Attempt } from "@consilium/shared/secagg/attempt";
import type { PrivateValues } from "@consilium/shared/secagg/encode";
import type { VectorLayout } from "@consilium/shared/secagg/layout";
import type { MaskTerm } from "@consilium/shared/secagg/masks";
import { startThread } from "@consilium/shared/threads";

export interface MaskedAttempt {
  readonly attempt: Attempt;
  readonly layout: VectorLayout;
  readonly masks: readonly MaskTerm[];
}

export interface FrameRequest {
  readonly file: string;
  readonly values: PrivateValues;
}

export interface WrittenFrame {
  readonly sha256: Sha256;
  readonly bytes: number;
}

export type ToFrameThread =
  /** Forgets the masks of any attempt before. */
  | { readonly kind: "begin"; readonly masked: MaskedAttempt }
  | { readonly kind: "write"; readonly request: FrameRequest };

export type FrameResponse =
  { readonly ok: true; readonly frame: WrittenFrame } | { readonly ok: false; readonly error: PackedError };

export class FrameThread {
  readonly #worker: Worker;
  readonly #ended: Promise<never>;

  constructor() {
    this.#worker = startThread(new URL("./frame-worker.ts", import.meta.url), null);
    this.#ended = new Promise((_resolve, reject) => {
      this.#worker.on("error", reject);
      this.#worker.on("exit", () => {
        reject(new ConsiliumError("internal", { detail: "(the masking thread ended)" }));
      });
    });
    this.#ended.catch(() => undefined);
  }

  begin(masked: MaskedAttempt): void {
    this.#post({ kind: "begin", masked });
  }

  /**
   * Once after `begin`. The frame is on disk when it returns.
   * @throws vector.not-finite, frame.wrong-length, disk.full
   */
  async write(request: FrameRequest): Promise<WrittenFrame> {
    const answered = new Promise<FrameResponse>((resolve) => this.#worker.once("message", resolve));
    this.#post({ kind: "write", request: { ...request, values: inSharedMemory(request.values) } });
    const response = await Promise.race([answered, this.#ended]);
    if (!response.ok) throw unpackError(response.error);
    return response.frame;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #post(message: ToFrameThread): void {
    this.#worker.postMessage(message);
  }
}

/** One copy of the update; posted as it is, it would be written, grown, read and so copied four times, here while the loop waits. */
function inSharedMemory(values: PrivateValues): PrivateValues {
  const update = new Float32Array(new SharedArrayBuffer(values.update.byteLength));
  update.set(values.update);
  return { ...values, update };
}
