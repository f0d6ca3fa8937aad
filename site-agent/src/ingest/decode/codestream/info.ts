/** What is to be known of a frame before a decoder sees it. */

export interface CodestreamInfo {
  readonly rows: number;
  readonly columns: number;
  readonly components: number;
  /** Bits of a sample. */
  readonly precision: number;
  /** JPEG 2000 only: whether samples are signed, whatever the DICOM header says. */
  readonly signed: boolean;
  /** What the codestream says the decoded colours are, or null where it says nothing. */
  readonly colour: "RGB" | "YBR" | null;
  /** The codestream proper, without a file format's boxes around it. */
  readonly codestream: Uint8Array;
}
