/** The storing half of an association: each object goes to the spool unparsed, and is acknowledged once it is safe there. */
import type { Socket } from "node:net";
import { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type {
  association as associations,
  Dataset as DicomDataset,
  requests,
  responses as answers,
} from "dcmjs-dimse";
import { imageKey } from "../../../dataset/keys.ts";
import { part10Head } from "../part10-head.ts";
import { MAX_FILE_BYTES } from "../../header/file.ts";
import { mayHoldImage } from "../sop-classes.ts";
import type { Arrival, Spool } from "../spool.ts";
import { constants, Dataset, responses, Scp } from "./library.ts";
import { MAX_MESSAGE_BYTES, PduWatch } from "./pdu-watch.ts";

export interface StoreReceiver {
  readonly spool: Spool;
  /** The site's HMAC secret. */
  readonly secret: Uint8Array;
  readonly onStored: (outcome: StoreOutcome) => void;
  /** Longer objects are refused: by default what the readers can take. */
  readonly maxObjectBytes?: number;
  /** A peer sent what no association may send, and was cut off. */
  readonly onCutOff?: () => void;
}

/** What became of an object: in the spool, acknowledged and dropped as it holds no image, or refused. */
export type StoreOutcome = "kept" | "without-image" | "full" | "too-long" | "failed";

/** Statuses of C-STORE (PS3.4, B.2.3). */
const STATUS: Readonly<Record<StoreOutcome, number>> = {
  kept: constants.Status.Success,
  "without-image": constants.Status.Success,
  full: 0xa700,
  // "Cannot understand": sending it again will not help, unlike "out of resources".
  "too-long": 0xc000,
  failed: constants.Status.ProcessingFailure,
};

/** Received and not written yet: beyond it the sender waits, below it goes on. */
const PAUSE_BYTES = 4 * 1024 * 1024;
const RESUME_BYTES = 1024 * 1024;
/** A-ABORT by the provider for an invalid parameter of a PDU (PS3.8, 9.3.8). */
const ABORT = Buffer.from([7, 0, 0, 0, 0, 4, 0, 0, 2, 6]);
/** An association on which nothing happens is ended. */
export const IDLE_MS = 5 * 60_000;

export class StorePeer extends Scp {
  readonly socket: Socket;
  /** Null where no objects are expected; they are refused then. */
  readonly #receiver: StoreReceiver | null;
  readonly #watch = new PduWatch();
  #sink: Sink | null = null;
  #outcome: StoreOutcome = "failed";

  constructor(socket: Socket, receiver: StoreReceiver | null) {
    super(socket, { connectTimeout: IDLE_MS, associationTimeout: IDLE_MS, pduTimeout: IDLE_MS });
    this.socket = socket;
    this.#receiver = receiver;
    // Answers are short: held back to be sent with more, each would cost the sender 40 ms.
    socket.setNoDelay(true);
    // Before the library, which gathers whole PDUs, commands and data sets in memory.
    socket.prependListener("data", (chunk: Uint8Array) => {
      if (!this.#watch.push(chunk)) this.#cutOff();
    });
    socket.on("data", () => {
      if (this.#sink === null && this.#watch.dataSetBytes > MAX_MESSAGE_BYTES) this.#cutOff();
      if ((this.#sink?.writableLength ?? 0) > PAUSE_BYTES) socket.pause();
    });
    socket.on("close", () => {
      void this.#sink?.abandon();
    });
    // The library only tells; nothing more comes over such a connection.
    this.on("networkError", () => {
      socket.destroy();
    });
  }

  #cutOff(): void {
    this.socket.removeAllListeners("data");
    this.socket.write(ABORT);
    this.socket.destroySoon();
    this.#receiver?.onCutOff?.();
  }

  override createStoreWritableStream(
    context: associations.PresentationContext,
    request: requests.CStoreRequest,
  ): Writable {
    const head = part10Head(context.getAcceptedTransferSyntaxUid() ?? "");
    const open = async (): Promise<Arrival | StoreOutcome> => {
      if (this.#receiver === null) return "failed";
      const { spool, secret } = this.#receiver;
      if (!mayHoldImage(request.getAffectedSopClassUid())) return "without-image";
      if (await spool.isFull()) return "full";
      const arrival = await spool.begin(imageKey(secret, request.getAffectedSopInstanceUid()));
      await arrival.write([head]);
      return arrival;
    };
    const onRoom = (): void => {
      if (this.socket.isPaused()) this.socket.resume();
    };
    this.#sink = new Sink(open(), this.#receiver?.maxObjectBytes ?? MAX_FILE_BYTES, onRoom);
    return this.#sink;
  }

  /** The data set is not parsed: it may hold anything, and the reading threads are made for that. */
  override createDatasetFromStoreWritableStream(
    writable: Writable,
    _context: associations.PresentationContext,
    callback: (dataset: DicomDataset) => void,
  ): void {
    const sink = this.#sink;
    void finished(writable)
      .then(() => sink?.keep() ?? "failed")
      .catch((): StoreOutcome => "failed")
      .then((outcome) => {
        this.#sink = null;
        this.#outcome = outcome;
        callback(new Dataset({}));
      });
  }

  override cStoreRequest(
    request: requests.CStoreRequest,
    callback: (response: answers.CStoreResponse) => void,
  ): void {
    const response = responses.CStoreResponse.fromRequest(request);
    response.setStatus(STATUS[this.#outcome]);
    callback(response);
    this.#receiver?.onStored(this.#outcome);
  }
}

/**
 * Never says that it is full, because the library would then take pieces out of order: the socket is paused instead.
 * A failing disk, or an object that is too long, is remembered and answered at the end; the rest of the object is read and
 * dropped.
 */
class Sink extends Writable {
  readonly #target: Promise<Arrival | StoreOutcome>;
  readonly #onRoom: () => void;
  readonly #maxBytes: number;
  #bytes = 0;
  #isSettled = false;
  #failure: StoreOutcome | null = null;

  constructor(target: Promise<Arrival | StoreOutcome>, maxBytes: number, onRoom: () => void) {
    super({ highWaterMark: Number.MAX_SAFE_INTEGER });
    this.#maxBytes = maxBytes;
    this.#target = target.catch((error: unknown) => outcomeOf(error));
    this.#onRoom = onRoom;
  }

  override _writev(chunks: readonly { readonly chunk: Uint8Array }[], done: () => void): void {
    void this.#put(chunks.map(({ chunk }) => chunk)).then(done);
  }

  async keep(): Promise<StoreOutcome> {
    const target = await this.#target;
    if (typeof target === "string") return target;
    if (this.#isSettled) return "failed";
    this.#isSettled = true;
    if (this.#failure !== null) {
      await target.drop();
      return this.#failure;
    }
    try {
      await target.keep();
      return "kept";
    } catch (error) {
      return outcomeOf(error);
    }
  }

  /** The sender has gone in the middle of an object. */
  async abandon(): Promise<void> {
    const target = await this.#target;
    if (this.#isSettled || typeof target === "string") return;
    this.#isSettled = true;
    await target.drop();
  }

  async #put(pieces: readonly Uint8Array[]): Promise<void> {
    const target = await this.#target;
    for (const { length } of pieces) this.#bytes += length;
    if (this.#bytes > this.#maxBytes) this.#failure ??= "too-long";
    try {
      if (typeof target !== "string" && this.#failure === null && !this.#isSettled)
        await target.write(pieces);
    } catch (error) {
      this.#failure = outcomeOf(error);
    }
    if (this.writableLength < RESUME_BYTES) this.#onRoom();
  }
}

const outcomeOf = (error: unknown): StoreOutcome =>
  error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT")
    ? "full"
    : "failed";
