/**
 * Two socket.io connections to the coordinator: `/control` for everything small, `/bulk` for uploads. A link is opened
 * with a fresh session and lives until either connection ends; then the agent opens another. It keeps no state.
 */
import type { Signed } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import type { UploadId } from "@consilium/shared/ids";
import {
  BULK_NAMESPACE,
  CONTROL_NAMESPACE,
  type BulkToCoordinator,
  type BulkToSite,
  type ControlToCoordinator,
  type ControlToSite,
  type FederationPosition,
  type Hello,
  type Progress,
  type Reply,
  type UploadBegin,
  type UploadChunk,
  type UploadOutcome,
} from "@consilium/shared/protocol/events";
import type {
  CohortSum,
  DistancesMessage,
  FingerprintMessage,
  MaskedCohort,
} from "@consilium/shared/protocol/fingerprint";
import type { MaskingAnswer, SitOut } from "@consilium/shared/protocol/masking";
import { Manager, NodeWebSocket, type ManagerOptions, type Socket } from "socket.io-client";
import type { z } from "zod";
import { connectionFailure } from "./connection-failure.ts";
import type { MaskingLink } from "./masking/driver.ts";
import type { SocketSettings } from "./network.ts";
import { remoteError, unreachable } from "./remote-error.ts";
import {
  beginReplySchema,
  cohortReplySchema,
  commitReplySchema,
  emptyReplySchema,
  positionReplySchema,
  positionSchema,
  shownReplySchema,
} from "./replies.ts";
import { bearer } from "./session.ts";
import { ZeroKeySocket } from "./zero-key-socket.ts";

const CONNECT_TIMEOUT_MS = 15_000;
/** For small calls. The heartbeat notices a dead link long before; this is for a coordinator that never answers. */
const CALL_TIMEOUT_MS = 60_000;
/** Hashing and storing a large update takes the coordinator a while. */
const COMMIT_TIMEOUT_MS = 10 * 60_000;

export type UploadStart =
  | { readonly upload: UploadId; readonly chunkBytes: number; readonly have: string }
  | { readonly outcome: UploadOutcome };

/** What uploading needs of a link. */
export interface UploadLink {
  beginUpload(message: UploadBegin): Promise<UploadStart>;
  sendChunk(message: UploadChunk, bytes: Uint8Array): Promise<void>;
  commitUpload(upload: UploadId): Promise<UploadOutcome>;
}

export interface Link extends UploadLink, MaskingLink {
  /** Authorises downloads as well. */
  readonly session: string;
  shareFingerprint(message: FingerprintMessage): Promise<void>;
  cohort(): Promise<CohortSum | MaskedCohort>;
  shareDistances(message: Signed<DistancesMessage>): Promise<void>;
  hello(message: Hello): Promise<FederationPosition>;
  position(): Promise<FederationPosition>;
  /** A message of a masked round; resolves once it is durable at the coordinator. */
  answerMasking(answer: MaskingAnswer): Promise<UploadOutcome>;
  /** Says that this site takes no further part in an attempt. */
  sitOut(message: SitOut): Promise<void>;
  /** Advisory: dropped when the link is down. @returns whether it was sent */
  progress(message: Progress): boolean;
  /** Resolves with the reason once either connection has ended. */
  readonly closed: Promise<ConsiliumError>;
  close(): void;
}

/**
 * @param baseUrl ends with a slash; may carry a path prefix
 * @param onPosition is called for every position that the coordinator pushes
 * @throws coordinator.unreachable, coordinator.untrusted, proxy.refused
 */
export async function connectLink(
  baseUrl: string,
  session: string,
  onPosition: (position: FederationPosition) => void,
  signal: AbortSignal,
  settings: SocketSettings = {},
): Promise<Link> {
  const socketOf = (namespace: string): Socket => socketFor(baseUrl, namespace, session, settings);
  const control: Socket<ControlToSite, ControlToCoordinator> = socketOf(CONTROL_NAMESPACE);
  const bulk: Socket<BulkToSite, BulkToCoordinator> = socketOf(BULK_NAMESPACE);
  const sockets: readonly Connectable[] = [control, bulk];
  const close = (): void => {
    for (const socket of sockets) socket.disconnect();
  };

  let markClosed: (reason: ConsiliumError) => void = () => undefined;
  const closed = new Promise<ConsiliumError>((resolve) => (markClosed = resolve));
  for (const socket of sockets) {
    socket.on("disconnect", () => {
      markClosed(unreachable("(the connection ended)"));
      close();
    });
  }
  control.on("position", (pushed) => {
    const position = positionSchema.safeParse(pushed);
    if (position.success) onPosition(position.data);
    else {
      markClosed(new ConsiliumError("protocol.invalid-message", { culprits: ["position"] }));
      close();
    }
  });

  try {
    const throughProxy = settings.agent !== undefined;
    await Promise.all(sockets.map((socket) => connected(socket, throughProxy, signal)));
  } catch (error) {
    close();
    throw error;
  }

  const refuseOnClose = closed.then((reason) => {
    throw reason;
  });
  refuseOnClose.catch(() => undefined);
  const call = <T extends z.ZodType<Reply>>(
    schema: T,
    timeoutMs: number,
    emit: (ack: (reply: unknown) => void) => void,
  ): Promise<Extract<z.output<T>, { ok: true }>> =>
    Promise.race([answered(schema, timeoutMs, emit), refuseOnClose]);

  return {
    session,
    closed,
    close,
    async shareFingerprint(message) {
      await call(emptyReplySchema, CALL_TIMEOUT_MS, (ack) => control.emit("fingerprint", message, ack));
    },
    async cohort() {
      const reply = await call(cohortReplySchema, CALL_TIMEOUT_MS, (ack) => control.emit("cohort", ack));
      return reply.cohort;
    },
    async shareDistances(message) {
      await call(emptyReplySchema, CALL_TIMEOUT_MS, (ack) => control.emit("distances", message, ack));
    },
    async hello(message) {
      const reply = await call(positionReplySchema, CALL_TIMEOUT_MS, (ack) =>
        control.emit("hello", message, ack),
      );
      return reply.position;
    },
    async position() {
      const reply = await call(positionReplySchema, CALL_TIMEOUT_MS, (ack) => control.emit("position", ack));
      return reply.position;
    },
    async showMasking(query) {
      const reply = await call(shownReplySchema, CALL_TIMEOUT_MS, (ack) =>
        control.emit("masking.show", query, ack),
      );
      return reply.shown;
    },
    async answerMasking(given) {
      const reply = await call(commitReplySchema, CALL_TIMEOUT_MS, (ack) =>
        control.emit("masking.answer", given, ack),
      );
      return reply.outcome;
    },
    async sitOut(message) {
      await call(emptyReplySchema, CALL_TIMEOUT_MS, (ack) => control.emit("masking.sit-out", message, ack));
    },
    progress(message) {
      if (!control.connected) return false;
      // Not volatile: what is on record has left.
      control.emit("progress", message);
      return true;
    },
    beginUpload: (message) =>
      call(beginReplySchema, CALL_TIMEOUT_MS, (ack) => bulk.emit("upload.begin", message, ack)),
    // No time limit of its own: the upload watches over progress, because how long a chunk takes is the link's affair.
    async sendChunk(message, bytes) {
      await call(emptyReplySchema, Infinity, (ack) => bulk.emit("upload.chunk", message, bytes, ack));
    },
    async commitUpload(upload) {
      const reply = await call(commitReplySchema, COMMIT_TIMEOUT_MS, (ack) =>
        bulk.emit("upload.commit", { upload }, ack),
      );
      return reply.outcome;
    },
  };
}

/** The part of a socket that does not depend on its events. */
interface Connectable {
  connect(): unknown;
  disconnect(): unknown;
  on(event: "connect" | "disconnect" | "connect_error", listener: (error?: unknown) => void): unknown;
}

function socketFor(baseUrl: string, namespace: string, session: string, settings: SocketSettings): Socket {
  const url = new URL(baseUrl);
  const options: Partial<ManagerOptions> = {
    path: `${url.pathname}socket.io`,
    transports: [namespace === BULK_NAMESPACE ? ZeroKeySocket : NodeWebSocket],
    extraHeaders: bearer(session),
    timeout: CONNECT_TIMEOUT_MS,
    autoConnect: false,
    reconnection: false,
    forceNew: true,
  };
  // Its types know no agent of Node's, though it passes one on.
  Object.assign(options, settings);
  // A Manager of its own means a connection of its own: bulk bytes must not delay the control channel.
  return new Manager(url.origin, options).socket(namespace);
}

function connected(socket: Connectable, throughProxy: boolean, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause?: unknown): void => {
      reject(connectionFailure(cause, throughProxy));
    };
    const onAbort = (): void => {
      fail(signal.reason);
    };
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("connect", () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    socket.on("connect_error", fail);
    socket.on("disconnect", fail);
    socket.connect();
  });
}

/** One call and its acknowledgement. @throws whatever the coordinator reports, coordinator.unreachable */
function answered<T extends z.ZodType<Reply>>(
  schema: T,
  timeoutMs: number,
  emit: (ack: (reply: unknown) => void) => void,
): Promise<Extract<z.output<T>, { ok: true }>> {
  return new Promise((resolve, reject) => {
    const timer = Number.isFinite(timeoutMs)
      ? setTimeout(() => {
          reject(unreachable("(no answer)"));
        }, timeoutMs).unref()
      : undefined;
    emit((raw) => {
      clearTimeout(timer);
      const parsed = schema.safeParse(raw);
      if (!parsed.success) reject(new ConsiliumError("protocol.invalid-message"));
      else if (!parsed.data.ok) reject(remoteError(parsed.data.error));
      else resolve(parsed.data as Extract<z.output<T>, { ok: true }>);
    });
  });
}
