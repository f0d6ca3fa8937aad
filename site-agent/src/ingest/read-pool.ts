/** Threads that read files into cache records; a file that a thread is lost over is quarantined. */
import { GREY_IMAGES, type InputProfile } from "@consilium/shared/input-profile";
import { fileKey } from "../dataset/keys.ts";
import type { FoundFile } from "./folder.ts";
import type { ReadResult } from "./read-image.ts";
import { WorkerPool } from "./worker-pool.ts";

export interface ReadTask {
  readonly file: FoundFile;
}

export interface ReadWorkerData {
  readonly secret: Uint8Array;
  readonly sizePx: number;
  readonly profile: InputProfile;
  /** See known-keys.ts. */
  readonly known: SharedArrayBuffer;
}

export interface ReadPoolOptions extends Omit<ReadWorkerData, "profile"> {
  /** Grey images under the plan's defaults unless given. */
  readonly profile?: InputProfile;
  readonly threads: number;
  /** From when a thread begins with a file until it is given up. */
  readonly timeoutMs: number;
  /** The worker's file; tests hand in one that misbehaves. */
  readonly script?: URL;
}

const SCRIPT = new URL("./read-worker.ts", import.meta.url);

export class ReadPool {
  readonly #secret: Uint8Array;
  readonly #pool: WorkerPool<ReadTask, ReadResult>;

  constructor({ threads, timeoutMs, script = SCRIPT, ...options }: ReadPoolOptions) {
    const { secret, sizePx, profile = GREY_IMAGES, known } = options;
    this.#secret = secret;
    const data: ReadWorkerData = { secret, sizePx, profile, known };
    this.#pool = new WorkerPool({ threads, timeoutMs, script, data });
  }

  /**
   * Resolves when a thread has dealt with the file or was lost over it.
   * @throws internal if threads do not start at all
   */
  async read(file: FoundFile): Promise<ReadResult> {
    return (await this.#pool.run({ file })) ?? this.#failed(file);
  }

  /** Files still waiting are never resolved. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  /** The thread was lost with the file, and with it the header's key. */
  #failed({ relativePath }: FoundFile): ReadResult {
    return { outcome: "quarantined", key: fileKey(this.#secret, relativePath), code: "dicom.decode-failed" };
  }
}
