/**
 * The socket gateway: authenticate before anything is decoded, parse, call the service, nothing else. Sockets hold no
 * state that matters; whoever reconnects asks for the position again.
 */
import type { IncomingMessage, Server as HttpServer } from "node:http";
import type { SiteId } from "@consilium/shared/ids";
import {
  BULK_NAMESPACE,
  CONTROL_NAMESPACE,
  helloSchema,
  MAX_UPLOAD_CHUNK_BYTES,
  progressSchema,
  uploadBeginSchema,
  uploadChunkSchema,
  uploadCommitSchema,
  type FederationPosition,
} from "@consilium/shared/protocol/events";
import { fingerprintMessageSchema, signedDistancesSchema } from "@consilium/shared/protocol/fingerprint";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { maskingAnswerSchema, maskingQuerySchema, sitOutSchema } from "@consilium/shared/protocol/masking";
import type { Logger } from "pino";
import { Server, type Namespace, type Socket } from "socket.io";
import type { Counted } from "../counted.ts";
import type { Federations } from "../federation/registry.ts";
import { movedBy } from "../federation/position.ts";
import type { FederationService } from "../federation/service.ts";
import type { Session, Sessions } from "../governance/sessions.ts";
import type { Connections } from "./connections.ts";
import { answer, parseMessage } from "./handlers.ts";
import { limitedParser } from "./parser.ts";
import { Tally } from "./tally.ts";
import type { Uploads } from "./uploads.ts";

export interface GatewayPorts {
  readonly sessions: Sessions;
  readonly federations: Federations;
  readonly uploads: Uploads;
  readonly counted: Counted;
  readonly logger: Logger;
  /** Where a request comes from. */
  readonly addressOf: (request: IncomingMessage) => string;
  /** Sockets that one network address, and one site, may hold open. */
  readonly maxSocketsPerAddress: number;
  readonly maxSocketsPerSite: number;
  /** A socket that does not answer for so long is let go. */
  readonly heartbeatTimeoutMs: number;
  readonly connections: Connections;
}

/** A chunk, its message and the packet around them. */
const MAX_MESSAGE_BYTES = MAX_UPLOAD_CHUNK_BYTES + 64 * 1024;

const GOODBYE_MS = 1_000;

interface ControlSocket {
  readonly socket: Socket;
  /** What the site was told last, so that nothing is pushed twice. */
  told: string;
}

export class Gateway {
  readonly #ports: GatewayPorts;
  readonly #io: Server;
  readonly #sessionOf = new WeakMap<IncomingMessage, Session>();
  /** Open ones, by address and by site. */
  readonly #sockets = new Tally();
  /** Control sockets that said hello, by federation and site. */
  readonly #control = new Map<string, ControlSocket>();
  /** Hellos that are being answered, by federation and site. */
  readonly #greeting = new Tally();
  /** Sites whose control socket has gone, until the federation is told. */
  readonly #left = new Set<string>();

  /** @param server not listening yet */
  constructor(server: HttpServer, ports: GatewayPorts) {
    this.#ports = ports;
    this.#io = new Server(server, {
      transports: ["websocket"],
      allowUpgrades: false,
      perMessageDeflate: false,
      httpCompression: false,
      serveClient: false,
      connectTimeout: 5_000,
      pingInterval: Math.min(25_000, ports.heartbeatTimeoutMs),
      pingTimeout: ports.heartbeatTimeoutMs,
      maxHttpBufferSize: MAX_MESSAGE_BYTES,
      parser: limitedParser,
      allowRequest: (request, decide) => {
        this.#authenticate(request, decide);
      },
    });
    this.#io.engine.on("connection", (raw: { request: IncomingMessage; on: typeof server.on }) => {
      this.#count(raw);
    });
    // Nobody has business in the root namespace.
    this.#io.use((_socket, next) => {
      next(new Error("unknown namespace"));
    });
    this.#serve(CONTROL_NAMESPACE, (socket, session) => {
      this.#serveControl(socket, session);
    });
    this.#serve(BULK_NAMESPACE, (socket, session) => {
      this.#serveBulk(socket, session);
    });
    ports.federations.follow((service) => {
      const unsubscribe = service.subscribe(({ facts, ofState, removed }) => {
        if (ofState) this.#pushPositions(service, movedBy(facts));
        if (removed !== undefined) this.#hangUp(service, removed);
      });
      return () => {
        unsubscribe();
        this.#hangUp(service, null);
      };
    });
  }

  get connections(): number {
    return this.#io.engine.clientsCount;
  }

  close(): void {
    this.#io.disconnectSockets(true);
    this.#io.engine.close();
  }

  #authenticate(
    request: IncomingMessage,
    decide: (problem: string | null | undefined, allowed: boolean) => void,
  ): void {
    const { sessions, maxSocketsPerAddress, maxSocketsPerSite, counted, logger, addressOf } = this.#ports;
    const session = sessions.authenticate(request.headers.authorization);
    if (session === null) {
      counted.refused("socket", "auth.required");
      decide("auth.required", false);
      return;
    }
    const isFull =
      this.#sockets.of(addressOf(request)) >= maxSocketsPerAddress ||
      this.#sockets.of(siteKey(session)) >= maxSocketsPerSite;
    if (isFull) {
      logger.warn({ site: session.site }, "too many sockets of one address or site");
      decide("too many sockets", false);
      return;
    }
    this.#sessionOf.set(request, session);
    decide(null, true);
  }

  #count(raw: { request: IncomingMessage; on(event: "close", listener: () => void): unknown }): void {
    const session = this.#sessionOf.get(raw.request);
    const keys = [this.#ports.addressOf(raw.request), ...(session === undefined ? [] : [siteKey(session)])];
    for (const key of keys) this.#sockets.add(key, 1);
    const letGo = this.#ports.connections.keep(raw.request.socket, null);
    raw.on("close", () => {
      letGo();
      // Whoever does not say goodbye as well is not waited for.
      setTimeout(() => raw.request.socket.destroy(), GOODBYE_MS).unref();
      for (const key of keys) this.#sockets.add(key, -1);
    });
  }

  #serve(namespace: string, serve: (socket: Socket, session: Session) => void): Namespace {
    return this.#io.of(namespace).on("connection", (socket) => {
      const session = this.#sessionOf.get(socket.request);
      if (session === undefined || !this.#ports.federations.has(session.federation)) socket.disconnect(true);
      else serve(socket, session);
    });
  }

  #serveControl(socket: Socket, session: Session): void {
    const { federations, logger, counted } = this.#ports;
    const { site } = session;
    const service = federations.get(session.federation);
    const key = `${session.federation}/${site}`;
    const log = logger.child({ federation: session.federation, site });
    const told = { logger: log, counted };

    const leave = (reason: string): void => {
      if (this.#control.get(key)?.socket !== socket) return;
      this.#control.delete(key);
      this.#left.add(key);
      log.info({ reason }, "site disconnected");
      depart();
    };
    // Not while another socket of the site says hello: what comes later in turn would outlast it.
    const depart = (): void => {
      if (this.#greeting.of(key) > 0) return;
      this.#left.delete(key);
      if (this.#control.has(key)) return;
      service.disconnected(site).catch((error: unknown) => {
        log.debug({ code: toConsiliumError(error).code }, "the federation is closed already");
      });
    };

    socket.on("hello", (message: unknown, ack: unknown) => {
      answer(ack, told, async () => {
        const hello = parseMessage(helloSchema, message);
        this.#greeting.add(key, 1);
        try {
          const position = await service.hello(site, hello);
          const previous = this.#control.get(key);
          this.#control.set(key, { socket, told: toldKey(position) });
          // The older socket may be half-open: its other end is long gone.
          if (previous !== undefined && previous.socket !== socket) previous.socket.disconnect(true);
          log.info({ software: hello.software, examples: hello.examples }, "site connected");
          return { position };
        } finally {
          this.#greeting.add(key, -1);
          // It may have gone while it waited, or be refused where another one has gone meanwhile.
          if (!socket.connected) leave("gone before it was answered");
          if (this.#left.has(key)) depart();
        }
      });
    });
    socket.on("fingerprint", (message: unknown, ack: unknown) => {
      answer(ack, told, async () => {
        await service.fingerprint(site, parseMessage(fingerprintMessageSchema, message));
        return {};
      });
    });
    socket.on("cohort", (ack: unknown) => {
      answer(ack, told, () => {
        service.book.assertMember(site);
        return { cohort: service.images.cohort() };
      });
    });
    socket.on("distances", (message: unknown, ack: unknown) => {
      answer(ack, told, async () => {
        await service.distances(site, parseMessage(signedDistancesSchema, message));
        return {};
      });
    });
    socket.on("position", (ack: unknown) => {
      answer(ack, told, () => {
        service.book.assertMember(site);
        return { position: service.position(site) };
      });
    });
    socket.on("masking.show", (message: unknown, ack: unknown) => {
      answer(ack, told, async () => ({
        shown: await service.showMasking(site, parseMessage(maskingQuerySchema, message)),
      }));
    });
    socket.on("masking.answer", (message: unknown, ack: unknown) => {
      answer(ack, told, async () => {
        const given = parseMessage(maskingAnswerSchema, message);
        // A vector counts once it is uploaded.
        if (given.message.step === "mask") throw new ConsiliumError("protocol.invalid-message");
        return { outcome: await service.answer(site, given) };
      });
    });
    socket.on("masking.sit-out", (message: unknown, ack: unknown) => {
      answer(ack, told, async () => {
        await service.sitOut(site, parseMessage(sitOutSchema, message));
        return {};
      });
    });
    socket.on("progress", (message: unknown) => {
      const progress = progressSchema.safeParse(message);
      if (progress.success) service.progress(site, progress.data);
    });
    socket.on("disconnect", leave);
  }

  #serveBulk(socket: Socket, session: Session): void {
    const { uploads, logger, counted } = this.#ports;
    const told = { logger: logger.child({ federation: session.federation, site: session.site }), counted };

    socket.on("upload.begin", (message: unknown, ack: unknown) => {
      answer(ack, told, () => uploads.begin(parseMessage(uploadBeginSchema, message), session));
    });
    socket.on("upload.chunk", (message: unknown, bytes: unknown, ack: unknown) => {
      answer(ack, told, async () => {
        const chunk = parseMessage(uploadChunkSchema, message);
        await uploads.chunk(chunk, bytes instanceof Uint8Array ? bytes : new Uint8Array(0), session);
        return {};
      });
    });
    socket.on("upload.commit", (message: unknown, ack: unknown) => {
      answer(ack, told, async () => {
        const { upload } = parseMessage(uploadCommitSchema, message);
        return { outcome: await uploads.commit(upload, session) };
      });
    });
  }

  /** @param only this site; otherwise all come back, and find whoever runs the federation now */
  #hangUp({ federation }: FederationService, only: SiteId | null): void {
    for (const namespace of [CONTROL_NAMESPACE, BULK_NAMESPACE]) {
      for (const socket of this.#io.of(namespace).sockets.values()) {
        const session = this.#sessionOf.get(socket.request);
        const isMeant = session?.federation === federation && (only === null || session.site === only);
        if (isMeant) socket.disconnect(true);
      }
    }
  }

  /** @param only these sites, where it can be nobody else's that has moved */
  #pushPositions(service: FederationService, only: ReadonlySet<SiteId> | null): void {
    const prefix = `${service.federation}/`;
    const all = () =>
      [...this.#control.keys()].flatMap((key) => (key.startsWith(prefix) ? key.slice(prefix.length) : []));
    for (const name of only ?? all()) {
      const site = name as SiteId;
      const control = this.#control.get(prefix + site);
      if (control === undefined) continue;
      const position = service.position(site);
      const told = toldKey(position);
      if (told === control.told) continue;
      control.told = told;
      control.socket.emit("position", position);
    }
  }
}

/** What makes a position worth telling again; the time that is left does not. */
function toldKey(position: FederationPosition): string {
  switch (position.phase) {
    case "waiting":
      return `waiting ${String(position.genesisWanted)}`;
    case "open": {
      const { round, attempt } = position.opening.body;
      const { step, wanted } = position.masking ?? { step: "", wanted: false };
      return `open ${round} ${attempt} ${String(position.contributed)} ${step} ${String(wanted)}`;
    }
    case "aggregating":
      return `aggregating ${position.round}`;
    case "finished":
      return "finished";
  }
}

const siteKey = ({ federation, site }: Session): string => `${federation}/${site}`;
