/**
 * Watches what a peer sends before the library gathers it in memory: PDU by PDU, and within P-DATA fragment by fragment
 * (PS3.8, 9.3). Objects of C-STORE go to disk and are bounded there; everything else is short, or not for us.
 */

/** No conforming peer sends a longer one: 256 KiB are announced, and a proposal of all 128 contexts is shorter. */
export const MAX_PDU_BYTES = 1024 * 1024;
/** Of a command, or of a data set that is not stored: queries' answers, for example. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;

const PDU_HEADER_BYTES = 6;
/** Length, presentation context, control header. */
const PDV_HEADER_BYTES = 6;
const P_DATA = 4;
const IS_COMMAND = 1;
const IS_LAST = 2;

export class PduWatch {
  readonly #header = Buffer.alloc(Math.max(PDU_HEADER_BYTES, PDV_HEADER_BYTES));
  /** Bytes of the header that is being read. */
  #held = 0;
  /** Bytes of the PDU, or of the fragment in it, that are still to come. */
  #pduLeft = 0;
  #fragmentLeft = 0;
  #isData = false;
  #fragmentFlags = 0;
  #commandBytes = 0;
  #dataSetBytes = 0;

  /** Bytes so far of the data set that is being sent, without an end yet. */
  get dataSetBytes(): number {
    return this.#dataSetBytes;
  }

  /** @returns whether these bytes stay within what an association may send; not to be asked again once they do not */
  push(chunk: Uint8Array): boolean {
    for (let at = 0; at < chunk.length;) {
      if (this.#fragmentLeft > 0 || (this.#pduLeft > 0 && !this.#isData)) at += this.#skip(chunk.length - at);
      else {
        at += this.#takeHeader(chunk.subarray(at));
        if (!this.#isWithin()) return false;
      }
    }
    return true;
  }

  /** The content of a fragment, or of a PDU of another kind. */
  #skip(available: number): number {
    const skipped = Math.min(available, this.#isData ? this.#fragmentLeft : this.#pduLeft);
    this.#pduLeft -= skipped;
    if (this.#isData) this.#fragmentLeft -= skipped;
    if (this.#isData && this.#fragmentLeft === 0) this.#endFragment();
    return skipped;
  }

  #takeHeader(bytes: Uint8Array): number {
    const isFragment = this.#pduLeft > 0;
    const size = isFragment ? PDV_HEADER_BYTES : PDU_HEADER_BYTES;
    const taken = Math.min(bytes.length, size - this.#held);
    this.#header.set(bytes.subarray(0, taken), this.#held);
    this.#held += taken;
    if (this.#held < size) return taken;
    this.#held = 0;
    if (isFragment) this.#beginFragment();
    else {
      this.#isData = this.#header.readUInt8(0) === P_DATA;
      this.#pduLeft = this.#header.readUInt32BE(2);
    }
    return taken;
  }

  #beginFragment(): void {
    // The length counts the context and the control header.
    this.#fragmentLeft = this.#header.readUInt32BE(0) - 2;
    this.#fragmentFlags = this.#header.readUInt8(5);
    this.#pduLeft -= PDV_HEADER_BYTES;
    if (this.#fragmentFlags & IS_COMMAND) this.#commandBytes += this.#fragmentLeft;
    else this.#dataSetBytes += this.#fragmentLeft;
    if (this.#fragmentLeft === 0) this.#endFragment();
  }

  #endFragment(): void {
    if ((this.#fragmentFlags & IS_LAST) === 0) return;
    if (this.#fragmentFlags & IS_COMMAND) this.#commandBytes = 0;
    else this.#dataSetBytes = 0;
  }

  #isWithin(): boolean {
    return (
      this.#pduLeft >= 0 &&
      this.#pduLeft <= MAX_PDU_BYTES &&
      this.#fragmentLeft >= 0 &&
      this.#fragmentLeft <= this.#pduLeft &&
      this.#commandBytes <= MAX_MESSAGE_BYTES
    );
  }
}
