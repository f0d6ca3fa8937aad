/**
 * The sum of the masked vectors of an attempt, added up as they arrive: every byte is read then anyway, for its hash. When
 * the masks can be taken off, the vectors need not be read a second time. It is a shortcut and no more: after a restart, or
 * where somebody else's vector is in it than the survivors', the sum is made from the disk. Memory: one vector.
 */
import type { Sha256 } from "@consilium/shared/ids";
import { geometryOf } from "@consilium/shared/secagg/layout";
import { hashing } from "../blobs/hashed.ts";
import type { ByteSource } from "./float-stream.ts";
import { addFrame, type MaskedTerms } from "./masked-frame.ts";

export interface PartialSum {
  /** Where threads can add masks to it. */
  readonly vector: Uint8Array<SharedArrayBuffer>;
  /** The frames in it. */
  readonly names: ReadonlySet<Sha256>;
}

interface Arriving extends PartialSum {
  readonly context: Sha256;
  readonly names: Set<Sha256>;
  /** Frames that are being added. */
  underWay: number;
}

export class ArrivedSum {
  /** Of the newest attempt, whichever federation's it is. */
  #newest: Arriving | null = null;

  /**
   * Adds a frame whose site stands for its hash.
   * @throws as addFrame; hash.mismatch at its end
   */
  async add(terms: MaskedTerms, name: Sha256, source: ByteSource): Promise<void> {
    const arriving = this.#of(terms);
    // Whoever is looked at once more, after a full disk for example, is in the sum already.
    const sum = arriving.names.has(name) ? startOf(terms).vector : arriving.vector;
    arriving.names.add(name);
    arriving.underWay += 1;
    try {
      await addFrame(terms, sum, hashing(source, name));
    } catch (error) {
      // A part of it is in the sum.
      if (this.#newest === arriving) this.#newest = null;
      throw error;
    } finally {
      arriving.underWay -= 1;
    }
  }

  /** What can be gone on with for the sum of these frames and no others; its memory is the caller's from here on. */
  take(terms: MaskedTerms, frames: readonly Sha256[]): PartialSum {
    const arrived = this.#newest;
    if (arrived?.context !== terms.attempt.context) return startOf(terms);
    this.#newest = null;
    const wanted = new Set(frames);
    const isPart = [...arrived.names].every((name) => wanted.has(name));
    // Sites that conspire may send the same frame, which is then in the sum twice.
    const isUsable = isPart && arrived.underWay === 0 && wanted.size === frames.length;
    return isUsable ? arrived : startOf(terms);
  }

  #of(terms: MaskedTerms): Arriving {
    const { context } = terms.attempt;
    if (this.#newest?.context === context) return this.#newest;
    return (this.#newest = { ...startOf(terms), names: new Set(), context, underWay: 0 });
  }
}

const startOf = ({ layout }: MaskedTerms): PartialSum => ({
  vector: new Uint8Array(new SharedArrayBuffer(geometryOf(layout).totalBytes)),
  names: new Set(),
});
