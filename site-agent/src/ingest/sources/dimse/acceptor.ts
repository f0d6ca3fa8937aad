/** Listening for PACS and modalities that push images (C-STORE SCP) or ask whether we are there (C-ECHO SCP). */
import { once } from "node:events";
import { createServer as createPlainServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import type { association as associations, requests, responses as answers } from "dcmjs-dimse";
import { readableSyntaxes } from "../../header/syntax.ts";
import type { AllowedSenders } from "../peers.ts";
import { isStorageClass } from "../sop-classes.ts";
import { constants, responses } from "./library.ts";
import { StorePeer, type StoreReceiver } from "./store-peer.ts";

export interface ListenOptions extends StoreReceiver {
  readonly host: string;
  readonly port: number;
  /** Our AE title: what calls another name is refused. */
  readonly aet: string;
  readonly allowed: AllowedSenders;
  readonly tls: TlsOptions | null;
  readonly onRefused: (why: Refusal) => void;
  /** At the same time; more are told to try again later. */
  readonly maxAssociations?: number;
}

export type Refusal = "address" | "calling-ae-title" | "called-ae-title" | "too-many" | "too-long";

/** A PACS opens a few; each may hold some megabytes. */
const MAX_ASSOCIATIONS = 32;

export interface Listener {
  readonly port: number;
  /** Ends all associations; what was acknowledged is in the spool. */
  close(): Promise<void>;
}

const { PresentationContextResult, RejectReason, RejectResult, RejectSource, SopClass, TransferSyntax } =
  constants;
const PLAIN_SYNTAXES = [TransferSyntax.ExplicitVRLittleEndian, TransferSyntax.ImplicitVRLittleEndian];

/** @throws port.in-use and other errors of binding, as Node gives them */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { host, port, tls, allowed, onRefused, maxAssociations = MAX_ASSOCIATIONS } = options;
  const sockets = new Set<Socket>();
  const onSocket = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    new Acceptor(socket, options, sockets.size > maxAssociations);
  };
  // Who is not on the list is hung up on before a byte of theirs is looked at.
  const screen = (socket: Socket): void => {
    socket.on("error", () => socket.destroy());
    if (allowed.knows(socket.remoteAddress ?? "")) return;
    onRefused("address");
    socket.destroy();
  };
  const server =
    tls === null
      ? createPlainServer(onSocket)
      : createTlsServer(tls, onSocket).on("tlsClientError", () => undefined);
  server.prependListener("connection", screen);
  // Beyond the associations there are those that are being told to come later; more are hung up on.
  server.maxConnections = 2 * maxAssociations;
  server.listen(port, host);
  await once(server, "listening");
  return {
    port: portOf(server),
    async close() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

class Acceptor extends StorePeer {
  readonly #options: ListenOptions;
  readonly #isOneTooMany: boolean;

  constructor(socket: Socket, options: ListenOptions, isOneTooMany: boolean) {
    const onCutOff = (): void => {
      options.onRefused("too-long");
    };
    super(socket, { ...options, onCutOff });
    this.#options = options;
    this.#isOneTooMany = isOneTooMany;
  }

  override associationRequested(association: associations.Association): void {
    const { aet, allowed, onRefused } = this.#options;
    const refuse = (why: Refusal, reason: number): void => {
      onRefused(why);
      this.sendAssociationReject(RejectResult.Permanent, RejectSource.ServiceUser, reason);
      this.socket.end();
    };
    if (!allowed.allows(association.getCallingAeTitle(), this.socket.remoteAddress ?? "")) {
      refuse("calling-ae-title", RejectReason.CallingAeNotRecognized);
    } else if (association.getCalledAeTitle().trim() !== aet) {
      refuse("called-ae-title", RejectReason.CalledAeNotRecognized);
    } else if (this.#isOneTooMany) {
      onRefused("too-many");
      const { ServiceProviderPresentation } = RejectSource;
      const { LocalLimitExceeded } = RejectReason;
      this.sendAssociationReject(RejectResult.Transient, ServiceProviderPresentation, LocalLimitExceeded);
      this.socket.end();
    } else {
      for (const { context } of association.getPresentationContexts()) decide(context);
      this.sendAssociationAccept();
    }
  }

  override associationReleaseRequested(): void {
    this.sendAssociationReleaseResponse();
    this.socket.end();
  }

  override cEchoRequest(
    request: requests.CEchoRequest,
    callback: (response: answers.CEchoResponse) => void,
  ): void {
    const response = responses.CEchoResponse.fromRequest(request);
    response.setStatus(constants.Status.Success);
    callback(response);
  }

  override abort(): void {
    this.socket.destroy();
  }
}

/** Every storage class, in the first of the sender's transfer syntaxes that ingest reads. */
function decide(context: associations.PresentationContext): void {
  const uid = context.getAbstractSyntaxUid();
  const readable =
    uid === SopClass.Verification ? PLAIN_SYNTAXES : isStorageClass(uid) ? readableSyntaxes() : [];
  if (readable.length === 0) {
    context.setResult(PresentationContextResult.RejectAbstractSyntaxNotSupported);
    return;
  }
  const chosen = context.getTransferSyntaxUids().find((syntax) => readable.includes(syntax));
  if (chosen === undefined) context.setResult(PresentationContextResult.RejectTransferSyntaxesNotSupported);
  else context.setResult(PresentationContextResult.Accept, chosen);
}
