/**
 * The file of an upload under way. Chunks that arrive while the disk is busy share the next flush: whoever waits for its
 * chunk waits for a flush that began after the chunk was written, and no longer.
 */
import { open, type FileHandle } from "node:fs/promises";

export class StagedWriter {
  readonly #file: string;
  #handle: Promise<FileHandle> | null = null;
  #writing = 0;
  #flushing: Promise<void> = Promise.resolve();
  /** Not begun yet. */
  #nextFlush: Promise<void> | null = null;

  constructor(file: string) {
    this.#file = file;
  }

  /** On disk when the promise resolves. @throws what the file system throws */
  async writeAt(offset: number, bytes: Uint8Array): Promise<void> {
    this.#writing += 1;
    try {
      this.#handle ??= open(this.#file, "r+");
      const handle = await this.#handle;
      await writeFully(handle, bytes, offset);
      await this.#flush(handle);
    } finally {
      this.#writing -= 1;
      if (this.#writing === 0) await this.#close();
    }
  }

  #flush(handle: FileHandle): Promise<void> {
    this.#nextFlush ??= this.#flushing
      .catch(() => undefined)
      .then(() => {
        this.#nextFlush = null;
        return (this.#flushing = handle.datasync());
      });
    return this.#nextFlush;
  }

  /** Nothing is held open between uploads' bursts: an upload may rest for days. */
  async #close(): Promise<void> {
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
