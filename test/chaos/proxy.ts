/**
 * A TCP proxy on 127.0.0.1 that does to a link what networks do: cuts it, delays it, makes it slow, or swallows what
 * passes while both ends believe that it stands (half-open). TCP numbers its bytes, so nothing below it can duplicate or
 * reorder what an application reads.
 */
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export interface LinkConditions {
  /** Added to everything that passes, each way. */
  readonly delayMs: number;
  /** Each way; null is as fast as it goes. */
  readonly bytesPerSecond: number | null;
}

export const CLEAR: LinkConditions = { delayMs: 0, bytesPerSecond: null };

interface Pair {
  readonly incoming: Socket;
  readonly outgoing: Socket;
  /** Nothing passes any more, and nobody is told. */
  swallowed: boolean;
}

export class FaultProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #conditions = CLEAR;
  #refusing = false;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param socket a Unix socket to listen on instead */
  static async start(targetPort: () => number, socket?: string): Promise<FaultProxy> {
    const server = createServer();
    const proxy = new FaultProxy(server);
    server.on("connection", (incoming: Socket) => {
      proxy.#accept(incoming, targetPort());
    });
    const where = socket === undefined ? { port: 0, host: "127.0.0.1" } : { path: socket };
    await new Promise<void>((resolve) => server.listen(where, resolve));
    return proxy;
  }

  /** Where it listens on no Unix socket. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends every connection with a reset. */
  cut(): void {
    for (const { incoming, outgoing } of this.#pairs) {
      reset(incoming);
      reset(outgoing);
    }
  }

  set conditions(conditions: LinkConditions) {
    this.#conditions = conditions;
  }

  /** New connections are turned away. */
  set refusing(refusing: boolean) {
    this.#refusing = refusing;
  }

  /** What stands now is dead and does not look it; new connections pass. */
  halfOpen(): void {
    for (const pair of this.#pairs) pair.swallowed = true;
  }

  /** As a router that has forgotten a connection: whoever uses one that is half-open is told at last. */
  forgetHalfOpen(): void {
    for (const { incoming, outgoing, swallowed } of this.#pairs) {
      if (!swallowed) continue;
      reset(incoming);
      reset(outgoing);
    }
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(incoming: Socket, port: number): void {
    if (this.#refusing) {
      reset(incoming);
      return;
    }
    const outgoing = createConnection({ port, host: "127.0.0.1" });
    const pair: Pair = { incoming, outgoing, swallowed: false };
    this.#pairs.add(pair);
    for (const [socket, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      socket.setNoDelay(true);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        other.destroy();
        this.#pairs.delete(pair);
      });
      void this.#pump(pair, socket, other);
    }
  }

  async #pump(pair: Pair, from: Socket, to: Socket): Promise<void> {
    try {
      for await (const data of from as AsyncIterable<Buffer>) {
        if (pair.swallowed) continue;
        const { delayMs, bytesPerSecond } = this.#conditions;
        const waitMs = delayMs + (bytesPerSecond === null ? 0 : (1000 * data.length) / bytesPerSecond);
        if (waitMs > 0) await delay(waitMs);
        // It may have died while this waited.
        if (pair.swallowed as boolean) continue;
        if (!to.write(data)) await drained(to);
      }
      to.end();
    } catch {
      to.destroy();
    }
  }
}

/** A Unix socket knows no reset. */
function reset(socket: Socket): void {
  if (socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}

/** Resolves when it takes more, or never will. */
function drained(socket: Socket): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.on("drain", done).on("close", done);
  });
}
