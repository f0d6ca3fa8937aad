/** Threads that look at files and put volumes together, one each at a time; what a thread is lost over is quarantined. */
import type { InputProfile } from "@consilium/shared/input-profile";
import { fileKey } from "../../dataset/keys.ts";
import type { FoundFile } from "../folder.ts";
import type { ReadResult } from "../read-image.ts";
import { WorkerPool } from "../worker-pool.ts";
import type { Stack } from "./group.ts";
import type { LookResult } from "./read-volume.ts";

export type VolumeTask = { readonly file: FoundFile } | { readonly stack: Stack; readonly again: boolean };

export interface VolumeWorkerData {
  readonly secret: Uint8Array;
  readonly sizePx: number;
  readonly profile: InputProfile;
  readonly niftiModality: string;
  /** See known-keys.ts. */
  readonly known: SharedArrayBuffer;
}

export interface VolumePoolOptions extends VolumeWorkerData {
  readonly threads: number;
  /** From when a thread begins with a file or goes on to another slice until it is given up. */
  readonly timeoutMs: number;
}

const SCRIPT = new URL("./volume-worker.ts", import.meta.url);

export class VolumePool {
  readonly #secret: Uint8Array;
  readonly #pool: WorkerPool<VolumeTask, LookResult>;

  constructor({ threads, timeoutMs, ...data }: VolumePoolOptions) {
    this.#secret = data.secret;
    this.#pool = new WorkerPool({ threads, timeoutMs, script: SCRIPT, data });
  }

  /** @throws internal if threads do not start at all */
  async look(file: FoundFile): Promise<LookResult> {
    return (await this.#pool.run({ file })) ?? lost(fileKey(this.#secret, file.relativePath));
  }

  /**
   * @param again whether to read it though the cache holds a volume with its key
   * @throws internal if threads do not start at all
   */
  async read(stack: Stack, again: boolean): Promise<ReadResult> {
    const result = await this.#pool.run({ stack, again });
    return result === null || result.outcome === "slices" ? lost(stack.key) : result;
  }

  /** Tasks still waiting are never resolved. */
  close(): Promise<void> {
    return this.#pool.close();
  }
}

const lost = (key: string): ReadResult => ({ outcome: "quarantined", key, code: "dicom.decode-failed" });
