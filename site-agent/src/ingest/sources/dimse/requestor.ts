/** Calling a PACS: one association, one request, all its responses (PS3.7, 9.1). */
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { ConsiliumError } from "@consilium/shared/errors";
import type {
  association as associations,
  requests as requestTypes,
  responses as answers,
} from "dcmjs-dimse";
import { connectionError } from "../connection-error.ts";
import type { PacsAddress } from "../peers.ts";
import { association, constants, requests } from "./library.ts";
import { StorePeer, type StoreReceiver } from "./store-peer.ts";

export interface CallOptions {
  readonly peer: PacsAddress;
  /** Our AE title. */
  readonly aet: string;
  readonly tls: ConnectionOptions | null;
}

export interface ProposedContext {
  readonly abstractSyntax: string;
  readonly transferSyntaxes: readonly string[];
  /** The other side sends us objects of this class, as it does for C-GET. */
  readonly weReceive: boolean;
}

type CalledRequest = requestTypes.CFindRequest | requestTypes.CMoveRequest | requestTypes.CGetRequest;

const { Status, TransferSyntax } = constants;

/** For requests and their responses. */
export const requestContext = (request: CalledRequest): ProposedContext => ({
  abstractSyntax: request.getAffectedSopClassUid(),
  transferSyntaxes: [TransferSyntax.ExplicitVRLittleEndian, TransferSyntax.ImplicitVRLittleEndian],
  weReceive: false,
});

/**
 * Sends one request and resolves with its last response, after the association has ended in good order.
 * @param onPending is told each response before the last
 * @throws pacs.unreachable, pacs.refused, pacs.untrusted, pacs.failed; the signal's reason
 */
export async function call(
  options: CallOptions,
  request: CalledRequest,
  contexts: readonly ProposedContext[],
  receiver: StoreReceiver | null,
  signal: AbortSignal,
  onPending: (response: answers.Response) => void = () => undefined,
): Promise<answers.Response> {
  signal.throwIfAborted();
  const socket = open(options);
  const stop = (): void => {
    socket.destroy();
  };
  signal.addEventListener("abort", stop);
  try {
    return await new Promise((resolve, reject) => {
      const caller = new Caller(socket, receiver, { request, onPending, resolve, reject });
      caller.begin(propose(options, contexts));
    });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    socket.destroy();
  }
}

function open({ peer: { host, port }, tls }: CallOptions): Socket {
  return tls === null ? connectPlain({ host, port }) : connectTls({ host, port, ...tls });
}

function propose({ aet, peer }: CallOptions, contexts: readonly ProposedContext[]): associations.Association {
  const proposed = new association.Association(aet, peer.aet);
  for (const { abstractSyntax, transferSyntaxes, weReceive } of contexts) {
    const id = proposed.addPresentationContext(abstractSyntax);
    for (const syntax of transferSyntaxes) proposed.addTransferSyntaxToPresentationContext(id, syntax);
    if (weReceive) proposed.getPresentationContext(id).setProviderRole(true);
  }
  return proposed;
}

interface Call {
  readonly request: CalledRequest;
  readonly onPending: (response: answers.Response) => void;
  readonly resolve: (response: answers.Response) => void;
  readonly reject: (error: unknown) => void;
}

class Caller extends StorePeer {
  readonly #call: Call;
  #last: answers.Response | null = null;
  /** How far it came. */
  #stage: "calling" | "asked" | "answering" = "calling";

  constructor(socket: Socket, receiver: StoreReceiver | null, call: Call) {
    super(socket, receiver);
    this.#call = call;
  }

  begin(proposed: associations.Association): void {
    const { request, onPending, resolve, reject } = this.#call;
    let failure: unknown = null;
    this.socket.on("error", (error) => (failure = error));
    this.on("connect", () => {
      this.sendAssociationRequest(proposed);
    });
    this.on("associationAccepted", (accepted: associations.Association) => {
      if (accepted.getAcceptedPresentationContextFromRequest(request) === undefined) {
        reject(new ConsiliumError("pacs.refused", { detail: `(it offers this site no ${nameOf(request)})` }));
        return;
      }
      this.#stage = "asked";
      this.sendRequests(request);
    });
    this.on("associationRejected", (rejection: Rejection) => {
      reject(rejectionError(rejection));
    });
    // Orthanc leaves the connection open for another 30 s.
    this.on("abort", () => {
      this.socket.destroy();
    });
    // Ours, after a silence of five minutes: no answer of the PACS.
    this.on("networkError", (error: unknown) => {
      failure ??= error;
    });
    request.on("response", (response: answers.Response) => {
      this.#stage = "answering";
      if (response.getStatus() === Status.Pending || response.getStatus() === PENDING_WITH_WARNING)
        onPending(response);
      else this.#last = response;
    });
    this.on("done", () => {
      this.sendAssociationReleaseRequest();
    });
    this.on("associationReleaseResponse", () => {
      this.socket.end();
    });
    this.socket.on("close", () => {
      if (this.#last !== null) resolve(this.#last);
      else reject(failure === null ? hangUpError(this.#stage, request) : connectionError(failure));
    });
  }
}

interface Rejection {
  readonly result: number;
  readonly source: number;
  readonly reason: number;
}

const TRANSIENT = 2;
const BY_USER = 1;
/** Reasons of an application that rejects an association (PS3.8, 9.3.4). */
const REJECTED: Readonly<Record<number, string>> = {
  3: "(it does not know the calling AE title: enter that of --aet there, with this machine's address)",
  7: "(the called AE title is not its own: correct what stands before the @ of --peer)",
};

function rejectionError({ result, source, reason }: Rejection): ConsiliumError {
  if (result === TRANSIENT)
    return new ConsiliumError("pacs.failed", { detail: "(it has no room for another association)" });
  const known = source === BY_USER ? REJECTED[reason] : undefined;
  const detail = known ?? `(association rejected, source ${source}, reason ${reason})`;
  return new ConsiliumError("pacs.refused", { detail });
}

/** It ended the connection in good order, or by A-ABORT, and never said how the request went. */
function hangUpError(stage: "calling" | "asked" | "answering", request: CalledRequest): ConsiliumError {
  if (stage === "answering")
    return new ConsiliumError("pacs.unreachable", { detail: "(it hung up in the middle)" });
  if (stage === "calling")
    return new ConsiliumError("pacs.unreachable", { detail: "(it hung up before any association)" });
  const detail = `(it took the association and ended it without an answer to ${nameOf(request)}: it may not allow that to the AE title of --aet)`;
  // Some, Orthanc among them, refuse requests in this way. One that retrieves may as well have had too much to do.
  return new ConsiliumError(request instanceof requests.CFindRequest ? "pacs.refused" : "pacs.unreachable", {
    detail,
  });
}

function nameOf(request: CalledRequest): string {
  if (request instanceof requests.CFindRequest) return "C-FIND";
  return request instanceof requests.CGetRequest ? "C-GET" : "C-MOVE";
}

/** C-FIND: matches go on, some of the keys were not looked at (PS3.4, C.4.1.1.4). */
const PENDING_WITH_WARNING = 0xff01;
