/** Whether an upload that begins has room on the disk. All that begin within a second are answered from one look at it. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Blobs } from "../blobs/blobs.ts";

/** For the database, its log and the audit file. */
const SPARE_BYTES = 8 * 1024 * 1024;
const LOOK_AFTER_MS = 1000;

export class Room {
  readonly #blobs: Pick<Blobs, "freeBytes">;
  #freeBytes: Promise<number> | null = null;
  /** Given to uploads since the last look; more than they have written by now. */
  #takenBytes = 0;

  constructor(blobs: Pick<Blobs, "freeBytes">) {
    this.#blobs = blobs;
  }

  /** Before anything of an upload is acknowledged. @throws disk.full */
  async take(sizeBytes: number): Promise<void> {
    const freeBytes = await (this.#freeBytes ??= this.#look());
    if (freeBytes - this.#takenBytes < sizeBytes + SPARE_BYTES) throw new ConsiliumError("disk.full");
    this.#takenBytes += sizeBytes;
  }

  #look(): Promise<number> {
    this.#takenBytes = 0;
    const forget = (): void => {
      this.#freeBytes = null;
    };
    setTimeout(forget, LOOK_AFTER_MS).unref();
    const looking = this.#blobs.freeBytes?.() ?? Promise.resolve(Infinity);
    looking.catch(forget);
    return looking;
  }
}
