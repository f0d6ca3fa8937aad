/**
 * Chunked upload with resume. The coordinator says which chunks are safe on its disk; only the others are sent, a few at
 * a time, each with its hash. Sending a chunk twice changes nothing, so whatever is in doubt is sent again.
 */
import { sha256 } from "@consilium/shared/canonical";
import { fromBase64Url } from "@consilium/shared/crypto/encoding";
import { ConsiliumError } from "@consilium/shared/errors";
import type { UploadId } from "@consilium/shared/ids";
import {
  MAX_UPLOAD_CHUNK_BYTES,
  type UploadBegin,
  type UploadOutcome,
} from "@consilium/shared/protocol/events";
import type { ByteSource } from "../home/files.ts";
import { aborted, watchForStall } from "./stall.ts";
import type { UploadLink } from "./transport.ts";

/** Chunks under way at once at most: enough to keep link and disk busy, few enough to keep memory small. */
export const UPLOAD_WINDOW = 8;
/** Before anything is known of the link. */
const FIRST_WINDOW = 4;
const MIN_CHUNK_BYTES = 64 * 1024;
const FIRST_CHUNK_BYTES = 256 * 1024;
/** What is under way should pass well within the heartbeat's patience. */
const WINDOW_SECONDS = 10;
const TRIES_PER_CHUNK = 3;
const BEGINNINGS = 3;

export interface UploadOptions {
  readonly link: UploadLink;
  readonly object: UploadBegin["object"];
  readonly source: ByteSource;
  readonly chunkBytes: number;
  /** @param doneBytes that are safe at the coordinator */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
  readonly stallMs?: number;
}

export interface UploadReport {
  readonly outcome: UploadOutcome;
  /** Acknowledged in this call; less than the object after a resume. */
  readonly sentBytes: number;
}

/**
 * @throws coordinator.unreachable when the link ends or nothing moves, round.not-open, upload.*, disk.full; the signal's
 *   reason when it fires
 */
export async function uploadObject(options: UploadOptions): Promise<UploadReport> {
  const { link, object, source, signal, onProgress } = options;
  const watch = watchForStall(options.stallMs);
  const stopped = Promise.race([aborted(signal), aborted(watch.signal)]);
  stopped.catch(() => undefined);
  const orStopped = <T>(work: Promise<T>): Promise<T> => Promise.race([work, stopped]);
  let sentBytes = 0;
  try {
    for (let beginning = 1; ; beginning++) {
      const begun = await orStopped(link.beginUpload({ object, chunkBytes: options.chunkBytes }));
      watch.moved();
      if ("outcome" in begun) return { outcome: begun.outcome, sentBytes };
      try {
        const missing = missingChunks(begun.have, source.sizeBytes, begun.chunkBytes);
        let doneBytes = source.sizeBytes - bytesOf(missing, source.sizeBytes, begun.chunkBytes);
        onProgress(doneBytes, source.sizeBytes);
        const window = new Window(begun.chunkBytes);
        const sendOne = async (seq: number): Promise<void> => {
          signal.throwIfAborted();
          const sent = await orStopped(sendChunk(link, begun.upload, source, seq, begun.chunkBytes));
          watch.moved();
          window.acknowledged(sent);
          doneBytes += sent;
          sentBytes += sent;
          onProgress(doneBytes, source.sizeBytes);
        };
        await sendAll(missing, sendOne, window);
        // The commit has a time limit of its own, and is not abandoned: what became of the update belongs on record,
        // also when the coordinator's next position overtakes the answer.
        watch.stop();
        return { outcome: await link.commitUpload(begun.upload), sentBytes };
      } catch (error) {
        // A coordinator that was restarted or cleaned up may have forgotten the upload; the next beginning tells.
        const forgotten = error instanceof ConsiliumError && error.code === "upload.unknown";
        if (!forgotten || beginning === BEGINNINGS) throw error;
      }
    }
  } finally {
    watch.stop();
  }
}

/** A chunk length with which a full window passes in about ten seconds at the speed of the last upload. */
export function chunkBytesFor(lastBytesPerSecond: number | null): number {
  if (lastBytesPerSecond === null) return FIRST_CHUNK_BYTES;
  const fitting = (lastBytesPerSecond * WINDOW_SECONDS) / UPLOAD_WINDOW;
  const powerOfTwo = 2 ** Math.floor(Math.log2(Math.max(1, fitting)));
  return Math.min(MAX_UPLOAD_CHUNK_BYTES, Math.max(MIN_CHUNK_BYTES, powerOfTwo));
}

/**
 * Chunks that the bitmap does not hold, in order. Bit i of byte floor(i / 8), least significant first.
 * @throws protocol.invalid-message if the bitmap is for another number of chunks
 */
export function missingChunks(have: string, sizeBytes: number, chunkBytes: number): number[] {
  const bitmap = fromBase64Url(have);
  const total = Math.ceil(sizeBytes / chunkBytes);
  if (bitmap.length !== Math.ceil(total / 8)) {
    throw new ConsiliumError("protocol.invalid-message", { culprits: ["have"] });
  }
  const missing: number[] = [];
  for (let seq = 0; seq < total; seq++) {
    if ((((bitmap[seq >> 3] ?? 0) >> (seq & 7)) & 1) === 0) missing.push(seq);
  }
  return missing;
}

function bytesOf(chunks: readonly number[], sizeBytes: number, chunkBytes: number): number {
  return chunks.reduce((sum, seq) => sum + chunkLength(seq, sizeBytes, chunkBytes), 0);
}

const chunkLength = (seq: number, sizeBytes: number, chunkBytes: number): number =>
  Math.min(chunkBytes, sizeBytes - seq * chunkBytes);

async function sendChunk(
  link: UploadLink,
  upload: UploadId,
  source: ByteSource,
  seq: number,
  chunkBytes: number,
): Promise<number> {
  const bytes = await source.read(seq * chunkBytes, chunkLength(seq, source.sizeBytes, chunkBytes));
  const message = { upload, seq, sha256: sha256(bytes) };
  for (let attempt = 1; ; attempt++) {
    try {
      await link.sendChunk(message, bytes);
      return bytes.length;
    } catch (error) {
      const damaged = error instanceof ConsiliumError && error.code === "upload.bad-chunk";
      if (!damaged || attempt === TRIES_PER_CHUNK) throw error;
    }
  }
}

/** How many chunks may be under way: what passes in about ten seconds, so that a heartbeat is never late for them. */
class Window {
  readonly #chunkBytes: number;
  readonly #startedMs = performance.now();
  #bytes = 0;
  size = FIRST_WINDOW;

  constructor(chunkBytes: number) {
    this.#chunkBytes = chunkBytes;
  }

  acknowledged(bytes: number): void {
    this.#bytes += bytes;
    const seconds = Math.max(1e-3, (performance.now() - this.#startedMs) / 1000);
    const fitting = Math.floor((this.#bytes / seconds) * (WINDOW_SECONDS / this.#chunkBytes));
    this.size = Math.min(UPLOAD_WINDOW, Math.max(1, fitting));
  }
}

/** After the first error no chunk is begun, and those under way are waited for. */
async function sendAll(
  missing: number[],
  sendOne: (seq: number) => Promise<void>,
  window: Pick<Window, "size">,
): Promise<void> {
  const underWay = new Set<Promise<void>>();
  const failures: unknown[] = [];
  for (;;) {
    while (failures.length === 0 && underWay.size < window.size) {
      const seq = missing.shift();
      if (seq === undefined) break;
      const sent = sendOne(seq)
        .catch((error: unknown) => void failures.push(error))
        .finally(() => underWay.delete(sent));
      underWay.add(sent);
    }
    if (underWay.size === 0) break;
    await Promise.race(underWay);
  }
  if (failures.length > 0) throw failures[0];
}
