/** One file decoded for comparison with another decoder: what its frames are, and their bytes. Nothing in it identifies anyone. */
import { createHash } from "node:crypto";
import { open, rm, type FileHandle } from "node:fs/promises";
import { readDicomFile } from "../header/file.ts";
import type { FrameAttributes } from "../header/frame-attributes.ts";
import { framesOf } from "./decode.ts";
import { expandPalette } from "./palette.ts";
import { bytesOf, dataType, type DataType, type StoredImage } from "./stored-image.ts";

export interface DecodeFileOptions {
  readonly path: string;
  /** Where the frames' canonical bytes go, one after the other; null for nowhere. */
  readonly raw: string | null;
  /** PALETTE COLOR becomes RGB. */
  readonly expandPalette: boolean;
}

export interface DecodeReport {
  readonly rows: number;
  readonly columns: number;
  readonly frames: number;
  readonly samples: number;
  readonly dtype: DataType;
  readonly photometric: StoredImage["photometric"];
  readonly transferSyntax: string;
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  /** Of all frames. */
  readonly bytes: number;
  /** Of those bytes. */
  readonly sha256: string;
  readonly palette: { readonly entries: number; readonly bits: number; readonly segmented: boolean } | null;
  readonly perFrame: readonly FrameAttributes[];
}

/**
 * @param onFrame told after each frame
 * @throws dicom.*, disk.* by way of Node's own errors
 */
export async function decodeFile(
  { path, raw, expandPalette: expand }: DecodeFileOptions,
  onFrame: () => void = () => undefined,
): Promise<DecodeReport> {
  const frames = framesOf(
    readDicomFile(
      path,
      () => undefined,
      () => true,
    ),
  );
  const { format, syntax, palette, frameAttributes } = frames.header;
  const hash = createHash("sha256");
  /** Of the first frame; frames of one file are alike. */
  const kinds: Pick<StoredImage, "photometric" | "samples">[] = [];
  let bytes = 0;
  await withOutput(raw, async (output) => {
    for await (const stored of frames) {
      const isIndexed = expand && stored.photometric === "PALETTE COLOR";
      const image = isIndexed ? expandPalette(stored, palette) : stored;
      if (kinds.length === 0) kinds.push(image);
      const data = bytesOf(image.values);
      hash.update(data);
      await output?.appendFile(data);
      bytes += data.length;
      onFrame();
    }
  });
  const [{ photometric, samples } = { photometric: "MONOCHROME2", samples: format.samples } as const] = kinds;
  const isExpanded = expand && palette !== null;
  return {
    rows: format.rows,
    columns: format.columns,
    frames: frames.count,
    samples,
    dtype: isExpanded ? `uint${palette.bits}` : dataType(format),
    photometric,
    transferSyntax: syntax.uid,
    bitsAllocated: format.bitsAllocated,
    bitsStored: format.bitsStored,
    bytes,
    sha256: hash.digest("hex"),
    palette:
      palette === null
        ? null
        : { entries: palette.red.values.length, bits: palette.bits, segmented: palette.segmented },
    perFrame: frameAttributes,
  };
}

/** Readable by its owner alone; a file that could not be finished is taken away. */
async function withOutput(
  path: string | null,
  write: (output: FileHandle | null) => Promise<void>,
): Promise<void> {
  if (path === null) {
    await write(null);
    return;
  }
  const output = await open(path, "w", 0o600);
  try {
    await write(output);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await output.close();
  }
}
