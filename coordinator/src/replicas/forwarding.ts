/**
 * Any coordinator takes any call, and hands it to the one that runs the federation which it is about. Calls are handed on
 * once; whoever gets one that it cannot answer says so, and the caller tries again.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import http, { createServer, type ClientRequest, type IncomingMessage, type Server } from "node:http";
import https from "node:https";
import type { Duplex } from "node:stream";
import replyFrom from "@fastify/reply-from";
import type { Identity } from "@consilium/shared/crypto/identity";
import { ConsiliumError, errorBody } from "@consilium/shared/errors";
import type { FederationId } from "@consilium/shared/ids";
import { federationStatusSchema, type FederationStatus } from "@consilium/shared/protocol/http";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Federations } from "../federation/registry.ts";
import { federationOf } from "../governance/sessions.ts";
import type { Connections } from "../realtime/connections.ts";
import type { Logger } from "pino";
import type { LeaseView } from "./leases.ts";
import type { Peers } from "./peers.ts";

/** The address of whoever called first, and proof that a coordinator says so. */
const FORWARDED = "consilium-forwarded";
const STATUS_TIMEOUT_MS = 5_000;
/** Without a byte. */
const CALL_TIMEOUT_MS = 60_000;

export interface ForwarderPorts {
  /** The federations of the database and who runs them. */
  readonly leases: () => readonly LeaseView[];
  readonly federations: Federations;
  readonly identity: Identity;
  readonly operatorToken: string;
  readonly peers: Peers;
  readonly logger: Logger;
}

interface Pipe {
  readonly federation: FederationId;
  readonly url: string;
  readonly end: () => void;
}

export class Forwarder {
  readonly #ports: ForwarderPorts;
  readonly #key: Buffer;
  readonly #pipes = new Set<Pipe>();

  constructor(ports: ForwarderPorts) {
    this.#ports = ports;
    const { sealingSecret } = ports.identity;
    this.#key = createHmac("sha256", sealingSecret).update("consilium/1 forwarded").digest();
  }

  /** Before the routes. */
  async register(app: FastifyInstance): Promise<void> {
    const { agents } = this.#ports.peers;
    await app.register(replyFrom, {
      disableRequestLogging: true,
      // Left to itself it takes any certificate.
      http: { agents, requestOptions: { rejectUnauthorized: true, timeout: CALL_TIMEOUT_MS } },
    });
    app.addHook("preHandler", async (request, reply) => {
      const url = this.#whither(this.#federationOf(request), request.headers[FORWARDED] !== undefined);
      if (url === null) return;
      const forwarded = this.#sign(request.socket.remoteAddress ?? "unknown");
      void reply.from(url + request.url, {
        rewriteRequestHeaders: (_request, headers) => ({ ...headers, [FORWARDED]: forwarded }),
        onError: (_reply, { error }) => {
          this.#warn(error);
          const gone = new ConsiliumError("lease.lost");
          void reply.status(gone.status).send(errorBody(gone));
        },
      });
      return reply;
    });
  }

  /** Sockets of federations that run elsewhere go there. @returns what the others are to be served with */
  upgradesOf(server: Server, connections: Connections): Server {
    const own = createServer();
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const federation = federationOf(request.headers.authorization, this.#names());
      let url: string | null;
      try {
        url = this.#whither(federation, request.headers[FORWARDED] !== undefined);
      } catch {
        socket.end("HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n");
        return;
      }
      if (url === null || federation === undefined) own.emit("upgrade", request, socket, head);
      else
        this.#pipe(federation, url, request, socket, head).on("upgrade", () => {
          // Whoever runs the federation knows this site.
          connections.keep(request.socket, null);
        });
    });
    return own;
  }

  /** Ends the sockets of federations that have moved, so that their sites come back and are led right. */
  endMoved(): void {
    const urls = new Map(this.#ports.leases().map(({ federation, url }) => [federation, url]));
    for (const pipe of this.#pipes) if (urls.get(pipe.federation) !== pipe.url) pipe.end();
  }

  close(): void {
    for (const pipe of this.#pipes) pipe.end();
    this.#ports.peers.close();
  }

  /** The network address that a request comes from, before any forwarding. */
  addressOf(request: IncomingMessage): string {
    const header = request.headers[FORWARDED];
    const [address = "", mac = ""] = typeof header === "string" ? header.split(";") : [];
    const expected = Buffer.from(this.#mac(address));
    const given = Buffer.from(mac);
    const isProven = given.length === expected.length && timingSafeEqual(given, expected);
    return isProven ? address : (request.socket.remoteAddress ?? "unknown");
  }

  /** Of all federations, wherever they run. Those that are on their way are left out. */
  async statuses(): Promise<FederationStatus[]> {
    const all = await Promise.all(this.#ports.leases().map((lease) => this.#statusOf(lease)));
    return all.filter((status) => status !== null);
  }

  async #statusOf({ federation, url }: LeaseView): Promise<FederationStatus | null> {
    const { federations, operatorToken, peers } = this.#ports;
    if (federations.has(federation)) return federations.get(federation).status();
    if (url === null || !peers.mayReach(url)) return null;
    const headers = { authorization: `Bearer ${operatorToken}`, [FORWARDED]: this.#sign("operator") };
    const signal = AbortSignal.timeout(STATUS_TIMEOUT_MS);
    try {
      const answer = await peers.get(`${url}/api/federations/${federation}`, headers, signal);
      return federationStatusSchema.safeParse(answer).data ?? null;
    } catch (error) {
      this.#warn(error);
      return null;
    }
  }

  /** What a request is about: its path, its body or its session says. */
  #federationOf({ params, body, headers }: FastifyRequest): FederationId | undefined {
    const named =
      textAt(params, "federation") ??
      textAt(body, "federation") ??
      textAt(fieldAt(body, "body"), "federation");
    const names = this.#names();
    return named === undefined
      ? federationOf(headers.authorization, names)
      : names.find((name) => name === named);
  }

  #names(): FederationId[] {
    return this.#ports.leases().map(({ federation }) => federation);
  }

  /** @returns null for here; throws lease.lost if it is on its way */
  #whither(federation: FederationId | undefined, isForwarded: boolean): string | null {
    if (federation === undefined || this.#ports.federations.has(federation)) return null;
    const url = this.#ports.leases().find((lease) => lease.federation === federation)?.url ?? null;
    const mayGoOn = url !== null && !isForwarded && this.#ports.peers.mayReach(url);
    if (!mayGoOn) throw new ConsiliumError("lease.lost", { culprits: [federation] });
    return url;
  }

  #pipe(
    federation: FederationId,
    url: string,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): ClientRequest {
    const address = request.socket.remoteAddress ?? "unknown";
    const headers = { ...request.headers, [FORWARDED]: this.#sign(address) };
    const { request: send } = url.startsWith("https:") ? https : http;
    const upstream = send(url + (request.url ?? "/"), { headers, agent: false, ...this.#ports.peers.tls() });
    const pipe: Pipe = {
      federation,
      url,
      end: () => {
        this.#pipes.delete(pipe);
        socket.destroy();
        upstream.destroy();
      },
    };
    this.#pipes.add(pipe);
    socket.on("error", pipe.end).on("close", pipe.end);
    upstream.on("error", (error) => {
      this.#warn(error);
      pipe.end();
    });
    upstream.on("response", (response) => {
      socket.end(
        `HTTP/1.1 ${response.statusCode ?? 502} ${response.statusMessage ?? ""}\r\nconnection: close\r\n\r\n`,
      );
    });
    upstream.on("upgrade", (response, far, farHead) => {
      far.on("error", pipe.end).on("close", pipe.end);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${linesOf(response.rawHeaders)}\r\n`);
      if (farHead.length > 0) socket.write(farHead);
      if (head.length > 0) far.write(head);
      far.setNoDelay(true);
      far.pipe(socket).pipe(far);
    });
    return upstream.end();
  }

  /** A certificate that nobody believes, say; its words may hold names. */
  #warn(error: unknown): void {
    const reason = error instanceof Error && "code" in error ? error.code : "unknown";
    this.#ports.logger.warn({ reason }, "another coordinator cannot be reached");
  }

  #sign(address: string): string {
    return `${address};${this.#mac(address)}`;
  }

  #mac(address: string): string {
    return createHmac("sha256", this.#key).update(address).digest("base64url");
  }
}

function linesOf(rawHeaders: readonly string[]): string {
  let lines = "";
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) lines += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  return lines;
}

function fieldAt(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && name in value
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

function textAt(value: unknown, name: string): string | undefined {
  const field = fieldAt(value, name);
  return typeof field === "string" ? field : undefined;
}
