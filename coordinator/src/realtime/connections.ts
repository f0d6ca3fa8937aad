/**
 * Who may stay when there are too many connections. One that nobody has vouched for makes room for a new one: the oldest of
 * the address that holds most of them. So idle connections, however many, keep no site out.
 */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { Tally } from "./tally.ts";

interface Connection {
  readonly socket: Socket;
  readonly address: string;
  /** What is under way on it for somebody who is known. */
  holds: number;
}

export class Connections {
  readonly #max: number;
  readonly #maxHoldsPerSite: number;
  readonly #all = new Map<string, Connection>();
  /** Those that make room for others, oldest first, by address. */
  readonly #strangers = new Map<string, Set<Connection>>();
  readonly #holds = new Tally();
  /** Of connections that have ended. */
  #received = 0;
  #sent = 0;

  constructor({ max, maxHoldsPerSite }: { readonly max: number; readonly maxHoldsPerSite: number }) {
    this.#max = max;
    this.#maxHoldsPerSite = maxHoldsPerSite;
  }

  watch(server: Server): void {
    server.on("connection", (socket: Socket) => {
      this.#admit(socket);
    });
  }

  /**
   * Keeps a connection until the returned function is called.
   * @param site whom it is for; a site that has as many as it may gets no more kept
   */
  keep(socket: Socket, site: string | null): () => void {
    const connection = this.#all.get(nameOf(socket));
    if (connection === undefined) return () => undefined;
    if (site !== null && this.#holds.of(site) >= this.#maxHoldsPerSite) return () => undefined;
    if (site !== null) this.#holds.add(site, 1);
    if (connection.holds++ === 0) this.#forgetStranger(connection);
    let isKept = true;
    return () => {
      if (!isKept) return;
      isKept = false;
      if (site !== null) this.#holds.add(site, -1);
      if (--connection.holds === 0 && !connection.socket.destroyed) this.#addStranger(connection);
    };
  }

  /** Since the start, of all connections: on the wire, TLS included. */
  get bytes(): { readonly received: number; readonly sent: number } {
    let [received, sent] = [this.#received, this.#sent];
    for (const { socket } of this.#all.values()) {
      received += socket.bytesRead;
      sent += socket.bytesWritten;
    }
    return { received, sent };
  }

  get open(): number {
    return this.#all.size;
  }

  #admit(socket: Socket): void {
    if (this.#all.size >= this.#max && !this.#makeRoom()) {
      socket.destroy();
      return;
    }
    const name = nameOf(socket);
    const connection = { socket, address: socket.remoteAddress ?? "", holds: 0 };
    this.#all.set(name, connection);
    this.#addStranger(connection);
    socket.once("close", () => {
      this.#received += socket.bytesRead;
      this.#sent += socket.bytesWritten;
      this.#forgetStranger(connection);
      if (this.#all.get(name) === connection) this.#all.delete(name);
    });
  }

  #makeRoom(): boolean {
    let largest: ReadonlySet<Connection> = new Set();
    for (const own of this.#strangers.values()) if (own.size > largest.size) largest = own;
    const [oldest] = largest;
    if (oldest === undefined) return false;
    this.#forgetStranger(oldest);
    this.#all.delete(nameOf(oldest.socket));
    oldest.socket.destroy();
    return true;
  }

  #addStranger(connection: Connection): void {
    const own = this.#strangers.get(connection.address);
    if (own === undefined) this.#strangers.set(connection.address, new Set([connection]));
    else own.add(connection);
  }

  #forgetStranger(connection: Connection): void {
    const own = this.#strangers.get(connection.address);
    own?.delete(connection);
    if (own?.size === 0) this.#strangers.delete(connection.address);
  }
}

/** One for a TLS socket and the TCP socket below it. */
const nameOf = ({ remoteAddress = "", remotePort = 0 }: Socket): string => `${remoteAddress} ${remotePort}`;
