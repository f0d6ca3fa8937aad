/** Has the beginning of an upload looked at while the rest of it arrives. */
import { openableBytes } from "@consilium/shared/crypto/envelope";

/** Less than this is not worth opening the file for. */
const LEAST_BYTES = 2 * 1024 * 1024;
/** In this many parts at the most. */
const PARTS = 8;

export class LookAhead {
  readonly #size: { readonly sizeBytes: number; readonly chunkBytes: number };
  readonly #look: (arrivedBytes: number) => Promise<void>;
  /** Chunks that are here in a row, from the first. */
  #chunks = 0;
  #openedBytes = 0;
  #looking: Promise<void> | null = null;
  #hasEnded = false;

  /** @param look one call at a time; what it throws is told when the upload is committed */
  constructor(
    size: { readonly sizeBytes: number; readonly chunkBytes: number },
    look: (arrivedBytes: number) => Promise<void>,
  ) {
    this.#size = size;
    this.#look = look;
  }

  /** @param have chunks that are on disk, and will not be written again */
  arrived(have: ReadonlySet<number>): void {
    while (have.has(this.#chunks)) this.#chunks += 1;
    const { sizeBytes, chunkBytes } = this.#size;
    const arrivedBytes = Math.min(sizeBytes, this.#chunks * chunkBytes);
    const openable = openableBytes(arrivedBytes);
    if (this.#looking !== null || this.#hasEnded) return;
    if (openable - this.#openedBytes < Math.max(LEAST_BYTES, sizeBytes / PARTS)) return;
    this.#openedBytes = openable;
    this.#looking = this.#look(arrivedBytes)
      .catch(() => undefined)
      .finally(() => {
        this.#looking = null;
        this.arrived(have);
      });
  }

  /** Nothing is looked at any more. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    await this.#looking;
  }
}
