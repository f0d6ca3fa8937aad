/**
 * Stands between one site and the coordinator, over real sockets, and rewrites what either says. With the coordinator's
 * key it plays a malicious coordinator, with the site's key a malicious site; it sees what both refuse, and why.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { FederationPosition, UploadBegin, UploadChunk } from "@consilium/shared/protocol/events";
import { BULK_NAMESPACE, CONTROL_NAMESPACE } from "@consilium/shared/protocol/events";
import type {
  MaskingAnswer,
  MaskingMessage,
  MaskingQuery,
  MaskingShown,
  SitOut,
} from "@consilium/shared/protocol/masking";
import { auditShownSchema, type AuditShown } from "@consilium/shared/protocol/governance";
import { Server, type Socket } from "socket.io";
import { io as connect, type Socket as Upstream } from "socket.io-client";

/** What the proxy does to what passes; what is left out passes as it is. */
export interface Tampering {
  /** The round before the first, for what the images are like, is played as well; without this it passes unseen. */
  readonly images?: boolean;
  readonly position?: (position: FederationPosition) => FederationPosition;
  readonly shown?: (shown: MaskingShown) => MaskingShown;
  /** Answers in the coordinator's stead, which is not asked; null to ask it. */
  readonly conjure?: (query: MaskingQuery) => MaskingShown | null;
  readonly answer?: (answer: MaskingAnswer) => MaskingAnswer | Promise<MaskingAnswer>;
  readonly begin?: (begin: UploadBegin) => UploadBegin | Promise<UploadBegin>;
  /** What the site is shown of the audit log. */
  readonly audit?: (shown: AuditShown) => AuditShown;
  readonly chunk?: (message: UploadChunk, bytes: Buffer) => readonly [UploadChunk, Buffer];
  /** Says `accepted` to the site whatever the coordinator says: a coordinator that plays its own game. */
  readonly pretends?: boolean;
}

/** An error that the coordinator answered a site's call with. */
export interface CoordinatorRefusal {
  readonly event: string;
  readonly code: string;
  readonly culprits: readonly string[];
}

const isOfRound = (message: unknown, first: number): boolean =>
  typeof message === "object" && message !== null && "round" in message && Number(message.round) >= first;

const AUDIT_PATH = /\/audit(\?|$)/;

type Ack = (reply: unknown) => void;
type Reply = { readonly ok: boolean } & Record<string, unknown>;

export class TamperingProxy {
  readonly #server = createServer((request, response) => {
    // A coordinator that closes in the middle of an answer is a link that breaks.
    this.#forward(request, response).catch(() => response.destroy());
  });
  readonly #io: Server;
  readonly #target: string;
  readonly #upstreams = new Set<Upstream>();
  #control: Socket | null = null;
  #bulk: Upstream | null = null;
  /** Of vectors; the initial model passes as it is. */
  readonly #uploads = new Set<unknown>();
  tampering: Tampering = {};
  /** What the site has said in masked rounds, before it was rewritten. */
  readonly answers: MaskingAnswer[] = [];
  /** Positions as the coordinator told them. */
  readonly positions: FederationPosition[] = [];
  readonly shown: MaskingShown[] = [];
  readonly refusals: CoordinatorRefusal[] = [];
  /** Why the site has no part in an attempt any more, as it says itself. */
  readonly satOut: SitOut[] = [];

  private constructor(target: string) {
    this.#target = target;
    this.#io = new Server(this.#server, { transports: ["websocket"], maxHttpBufferSize: 16 * 1024 * 1024 });
    for (const namespace of [CONTROL_NAMESPACE, BULK_NAMESPACE]) {
      this.#io.of(namespace).on("connection", (socket) => {
        this.#bridge(namespace, socket);
      });
    }
  }

  static async start(target: string): Promise<TamperingProxy> {
    const proxy = new TamperingProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Tells the site where the federation stands, as if the coordinator had. */
  push(position: FederationPosition): void {
    this.#control?.emit("position", position);
  }

  /** One more call to the coordinator, on the site's own bulk connection. */
  async call(event: string, message: object): Promise<unknown> {
    return this.#bulk?.emitWithAck(event, message);
  }

  /** The site's messages of one step. */
  said<Step extends MaskingMessage["step"]>(step: Step): Extract<MaskingMessage, { step: Step }>[] {
    const isOf = (message: MaskingMessage): message is Extract<MaskingMessage, { step: Step }> =>
      message.step === step;
    return this.answers.map(({ message }) => message).filter(isOf);
  }

  async close(): Promise<void> {
    for (const upstream of this.#upstreams) upstream.disconnect();
    this.#server.closeAllConnections();
    await this.#io.close();
  }

  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { method = "GET", url = "/", headers } = request;
    const passed = ["authorization", "content-type", "accept", "range"].flatMap(
      (name): [string, string][] => {
        const value = headers[name];
        return typeof value === "string" ? [[name, value]] : [];
      },
    );
    const body = parts.length > 0 ? { body: Buffer.concat(parts) } : {};
    const answer = await fetch(this.#target + url, { method, headers: passed, ...body });
    // What is rewritten is of another length.
    const kept = [...answer.headers].filter(([name]) => name !== "content-length");
    response.writeHead(answer.status, Object.fromEntries(kept));
    response.end(this.#rewriteBody(method, url, Buffer.from(await answer.arrayBuffer())));
  }

  #rewriteBody(method: string, url: string, body: Buffer): Buffer {
    const { audit } = this.tampering;
    if (audit === undefined || method !== "GET" || !AUDIT_PATH.test(url)) return body;
    return Buffer.from(JSON.stringify(audit(auditShownSchema.parse(JSON.parse(body.toString())))));
  }

  #bridge(namespace: string, socket: Socket): void {
    const upstream = connect(this.#target + namespace, {
      transports: ["websocket"],
      reconnection: false,
      forceNew: true,
      extraHeaders: { authorization: socket.handshake.headers.authorization ?? "" },
    });
    this.#upstreams.add(upstream);
    if (namespace === CONTROL_NAMESPACE) this.#control = socket;
    else this.#bulk = upstream;
    socket.onAny((event: string, ...parts: unknown[]) => {
      const last = parts.at(-1);
      const ack = typeof last === "function" ? (last as Ack) : null;
      void this.#toCoordinator(upstream, event, ack === null ? parts : parts.slice(0, -1), ack);
    });
    upstream.onAny((event: string, position: FederationPosition) => {
      if (event === "position") socket.emit(event, this.#toldPosition(position));
    });
    upstream.on("disconnect", () => socket.disconnect(true));
    socket.on("disconnect", () => upstream.disconnect());
  }

  async #toCoordinator(
    upstream: Upstream,
    event: string,
    parts: readonly unknown[],
    ack: Ack | null,
  ): Promise<void> {
    if (event === "masking.show" && this.#isPlayed(parts[0])) {
      const shown = this.tampering.conjure?.(parts[0] as MaskingQuery) ?? null;
      if (shown !== null) {
        ack?.({ ok: true, shown });
        return;
      }
    }
    const rewritten = await this.#rewrite(event, parts);
    if (ack === null) {
      upstream.emit(event, ...rewritten);
      return;
    }
    const reply = await upstream.emitWithAck(event, ...rewritten).then(
      (answered) => answered as Reply,
      // The connection ended: the site will notice by itself.
      () => null,
    );
    if (reply === null) return;
    if (!reply.ok) {
      const { code, culprits } = reply["error"] as CoordinatorRefusal;
      this.refusals.push({ event, code, culprits });
      if (this.tampering.pretends === true && event === "masking.answer") {
        ack({ ok: true, outcome: "accepted" });
        return;
      }
    }
    if (event === "upload.begin" && this.#isPlayed((parts[0] as UploadBegin).object)) {
      this.#uploads.add(reply["upload"]);
    }
    ack(event !== "masking.show" || this.#isPlayed(parts[0]) ? this.#rewriteReply(event, reply) : reply);
  }

  async #rewrite(event: string, parts: readonly unknown[]): Promise<readonly unknown[]> {
    const { answer, begin, chunk } = this.tampering;
    const [message, bytes] = parts;
    if (event === "upload.chunk") {
      const isTampered = chunk !== undefined && this.#uploads.has((message as UploadChunk).upload);
      return isTampered ? chunk(message as UploadChunk, bytes as Buffer) : parts;
    }
    if (!this.#isPlayed(event === "upload.begin" ? (message as UploadBegin).object : message)) return parts;
    switch (event) {
      case "masking.answer": {
        const given = message as MaskingAnswer;
        this.answers.push(given);
        return [(await answer?.(given)) ?? given];
      }
      case "masking.sit-out":
        this.satOut.push(message as SitOut);
        return parts;
      case "upload.begin":
        return [(await begin?.(message as UploadBegin)) ?? message];
      default:
        return parts;
    }
  }

  #rewriteReply(event: string, reply: Reply): Reply {
    if (!reply.ok) return reply;
    if (event === "hello" || event === "position") {
      return { ...reply, position: this.#toldPosition(reply["position"] as FederationPosition) };
    }
    if (event !== "masking.show") return reply;
    const shown = reply["shown"] as MaskingShown;
    this.shown.push(shown);
    return { ...reply, shown: this.tampering.shown?.(shown) ?? shown };
  }

  #isPlayed(message: unknown): boolean {
    return isOfRound(message, this.tampering.images === true ? 0 : 1);
  }

  #toldPosition(position: FederationPosition): FederationPosition {
    if (position.phase === "open" && !this.#isPlayed(position.opening.body)) return position;
    this.positions.push(position);
    return this.tampering.position?.(position) ?? position;
  }
}
