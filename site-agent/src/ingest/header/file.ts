/**
 * Reads a DICOM file from disk: no more of it than needed to see that it is none, or not for us. Waits for the disk
 * itself, since it runs in threads that have nothing else to do: handing each call to Node's thread pool costs several
 * times the call.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { ConsiliumError } from "@consilium/shared/errors";
import { readHeader, type DicomHeader, type Identifiers } from "./header.ts";
import { looksLikeDicom } from "./part10.ts";

/** Holds the header of nearly every file. */
const HEAD_BYTES = 64 * 1024;
/** What Node can hold in one buffer on every platform, and more than any single image. */
export const MAX_FILE_BYTES = 2 ** 31 - 1;

/**
 * The header of the file at `path`. Its bytes are complete if `isWanted` says so of the header, which may be read before
 * the pixels are.
 * @throws dicom.unreadable, and what readHeader throws
 */
export function readDicomFile(
  path: string,
  onIdentifiers: (identifiers: Identifiers) => void,
  isWanted: (header: DicomHeader) => boolean,
): DicomHeader {
  const file = openForReading(path);
  try {
    const { size } = fstatSync(file);
    // Not zeroed: filled below, or given up.
    const head = Buffer.allocUnsafeSlow(Math.min(size, HEAD_BYTES));
    readInto(file, head, 0);
    if (!looksLikeDicom(head)) throw new ConsiliumError("dicom.not-dicom");
    if (size <= HEAD_BYTES) return readHeader(head, onIdentifiers);
    const early = tryHeader(head, onIdentifiers);
    if (early !== null && !isWanted(early)) return early;
    if (size > MAX_FILE_BYTES) throw new ConsiliumError("dicom.unsupported", { detail: "(file size)" });
    const whole = Buffer.allocUnsafeSlow(size);
    whole.set(head);
    readInto(file, whole, head.length);
    return readHeader(whole, onIdentifiers);
  } finally {
    closeSync(file);
  }
}

/** The header if the head of the file holds all of it; else null, and the whole file decides. */
function tryHeader(head: Uint8Array, onIdentifiers: (identifiers: Identifiers) => void): DicomHeader | null {
  try {
    const header = readHeader(head, onIdentifiers);
    return header.syntax.deflated ? null : header;
  } catch (error) {
    if (error instanceof ConsiliumError && error.code === "dicom.truncated") return null;
    throw error;
  }
}

function openForReading(path: string): number {
  try {
    return openSync(path, "r");
  } catch (cause) {
    throw new ConsiliumError("dicom.unreadable", { cause });
  }
}

/**
 * Fills the buffer from `done` on with what the file has at the same place.
 * @throws dicom.unreadable on a failing disk, or a file that shrinks as it is read
 */
function readInto(file: number, buffer: Uint8Array, done: number): void {
  try {
    for (let at = done; at < buffer.length;) {
      const bytesRead = readSync(file, buffer, at, buffer.length - at, at);
      if (bytesRead === 0) throw new Error("the file shrank");
      at += bytesRead;
    }
  } catch (cause) {
    throw new ConsiliumError("dicom.unreadable", { cause });
  }
}
