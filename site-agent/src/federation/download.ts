/** Fetching a checkpoint by its hash: continued where it was cut, never longer than the model allows, never trusted. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import type { Checkpoints, Part } from "./checkpoints.ts";
import { piecesOf, type Http } from "./http.ts";
import { unreachable } from "./remote-error.ts";
import { bearer } from "./session.ts";
import { watchForStall } from "./stall.ts";

export interface DownloadOptions {
  readonly http: Http;
  readonly session: string;
  readonly checkpoints: Checkpoints;
  readonly name: Sha256;
  /** Known from the plan's model: the exact length of the object. */
  readonly sizeBytes: number;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
  readonly stallMs?: number;
}

/**
 * The checkpoint's bytes, from the site's own disk if it holds them.
 * @throws hash.mismatch, frame.wrong-length, blob.unknown, auth.required, coordinator.unreachable
 */
export async function fetchCheckpoint(options: DownloadOptions): Promise<Uint8Array> {
  const { checkpoints, name } = options;
  const held = await checkpoints.read(name);
  if (held !== null) return held;
  const part = await checkpoints.part(name);
  await download(options, part);
  await part.complete();
  const bytes = await checkpoints.read(name);
  if (bytes === null) throw new ConsiliumError("hash.mismatch", { culprits: ["checkpoint"] });
  return bytes;
}

async function download(options: DownloadOptions, part: Part): Promise<void> {
  const { http, session, name, sizeBytes, onProgress, signal } = options;
  let doneBytes = await part.sizeBytes();
  if (doneBytes > sizeBytes) {
    await part.discard();
    doneBytes = 0;
  }
  if (doneBytes === sizeBytes) return;

  const watch = watchForStall(options.stallMs);
  try {
    const response = await http.get(
      `api/blobs/${name}`,
      { ...bearer(session), ...(doneBytes === 0 ? {} : { range: `bytes=${doneBytes}-` }) },
      AbortSignal.any([signal, watch.signal]),
    );
    if (response.status !== 206 && doneBytes > 0) {
      await part.discard();
      doneBytes = 0;
    } else if (response.status === 206 && rangeStart(response) !== doneBytes) {
      throw unreachable("(it sent another range than was asked for)");
    }
    // When the connection breaks, what arrived so far stays for the next try.
    const file = await part.open();
    try {
      for await (const piece of piecesOf(response)) {
        watch.moved();
        doneBytes += piece.length;
        if (doneBytes > sizeBytes) {
          await part.discard();
          throw new ConsiliumError("frame.wrong-length", { culprits: ["checkpoint"] });
        }
        await file.append(piece);
        onProgress(doneBytes, sizeBytes);
      }
    } finally {
      await file.close();
    }
  } finally {
    watch.stop();
  }
  if (doneBytes < sizeBytes) throw unreachable("(the reply was cut short)");
}

/** Start of `content-range: bytes START-END/SIZE`; NaN if there is none. */
function rangeStart(response: Response): number {
  return Number(/^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1]);
}
