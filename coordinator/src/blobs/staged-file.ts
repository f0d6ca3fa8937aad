/**
 * The file of an upload under way. Chunks that arrive while the disk is busy share the next flush: whoever waits for its
 * chunk waits for a flush that began after the chunk was written, and no longer.
 */
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { ConsiliumError } from "@consilium/shared/errors";
import { giveBack } from "@consilium/shared/give-back";
import { SharedFlush } from "../shared-flush.ts";

/** After a chunk, for the next one. */
const HELD_OPEN_MS = 1000;

export class StagedWriter {
  readonly #file: string;
  #idle: NodeJS.Timeout | undefined;
  #handle: Promise<FileHandle> | null = null;
  #writing = 0;
  #isEnded = false;
  readonly #flush = new SharedFlush(async () => (await this.#handle)?.datasync());

  constructor(file: string) {
    this.#file = file;
  }

  /** On disk when the promise resolves. @throws upload.unknown once it has ended, what the file system throws */
  async writeAt(offset: number, bytes: Uint8Array): Promise<void> {
    if (this.#isEnded) throw new ConsiliumError("upload.unknown");
    this.#writing += 1;
    clearTimeout(this.#idle);
    try {
      const handle = await (this.#handle ??= this.#open());
      await writeFully(handle, bytes, offset);
      // The system has them; of several chunks under way, most wait for a flush.
      giveBack(bytes);
      await this.#flush.after();
    } finally {
      this.#writing -= 1;
      if (this.#writing === 0) this.#closeSoon();
    }
  }

  #open(): Promise<FileHandle> {
    const opening = open(this.#file, constants.O_RDWR | constants.O_CREAT, 0o600);
    // Tried again by the next chunk.
    opening.catch(() => (this.#handle = null));
    return opening;
  }

  /** The file gets another name, or none: from here on it is neither made nor held open for further chunks. */
  async end(): Promise<void> {
    this.#isEnded = true;
    await (this.#writing === 0 ? this.#close() : this.#handle?.catch(() => null));
  }

  /** Nothing is held open between uploads' bursts: an upload may rest for days. */
  #closeSoon(): void {
    this.#idle = setTimeout(() => {
      // What matters of it is on disk.
      this.#close().catch(() => undefined);
    }, HELD_OPEN_MS).unref();
  }

  async #close(): Promise<void> {
    clearTimeout(this.#idle);
    const handle = this.#handle;
    this.#handle = null;
    await (await handle?.catch(() => null))?.close();
  }
}

export async function writeFully(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}
