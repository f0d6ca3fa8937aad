/**
 * A TCP proxy on 127.0.0.1 that keeps what goes from the sites to the coordinator, as the receiver sees it: WebSocket
 * frames are unmasked (RFC 6455, section 5.3), so that nothing hides behind the mask.
 */
import { createConnection, createServer, type AddressInfo, type Socket } from "node:net";

export interface CaptureProxy {
  readonly url: string;
  /** Everything sent towards the coordinator so far, connection after connection. */
  captured(): Buffer;
  /** Bodies of HTTP requests and payloads of text WebSocket messages, each by itself. */
  capturedTexts(): readonly string[];
  /** Payloads of binary WebSocket messages alone: what the bulk channel carries. */
  capturedBinary(): Buffer;
  /** Cuts every connection that is open now. */
  cut(): void;
  /** Points at another port from now on. */
  retarget(port: number): void;
  close(): Promise<void>;
}

export async function startCaptureProxy(targetPort: number): Promise<CaptureProxy> {
  let port = targetPort;
  const connections: Buffer[][] = [];
  const sockets = new Set<Socket>();
  const server = createServer((incoming) => {
    const outgoing = createConnection({ port, host: "127.0.0.1" });
    const sent: Buffer[] = [];
    connections.push(sent);
    for (const socket of [incoming, outgoing]) {
      sockets.add(socket);
      socket.on("close", () => {
        sockets.delete(socket);
        incoming.destroy();
        outgoing.destroy();
      });
      socket.on("error", () => undefined);
    }
    incoming.on("data", (data) => sent.push(data));
    incoming.pipe(outgoing);
    outgoing.pipe(incoming);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: listening } = server.address() as AddressInfo;
  const parsed = () => connections.map((parts) => unmask(Buffer.concat(parts)));
  return {
    url: `http://127.0.0.1:${listening}`,
    captured: () => Buffer.concat(parsed().map(({ all }) => all)),
    capturedTexts: () => parsed().flatMap(({ texts }) => texts),
    capturedBinary: () => Buffer.concat(parsed().map(({ binary }) => binary)),
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
    retarget: (to) => {
      port = to;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) =>
        server.close(() => {
          resolve();
        }),
      );
    },
  };
}

const TEXT = 1;
const BINARY = 2;

/** One connection's bytes with its WebSocket frames, if it has any, opened up. */
function unmask(bytes: Buffer): { all: Buffer; binary: Buffer; texts: readonly string[] } {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0 || !/upgrade: websocket/i.test(bytes.toString("latin1", 0, headEnd))) {
    return { all: bytes, binary: Buffer.alloc(0), texts: bodies(bytes) };
  }
  const all = [bytes.subarray(0, headEnd + 4)];
  const binary: Buffer[] = [];
  const texts: string[] = [];
  let opcode = 0;
  for (let at = headEnd + 4; at + 6 <= bytes.length;) {
    const first = bytes.readUInt8(at);
    if ((first & 0x0f) !== 0) opcode = first & 0x0f;
    let length = bytes.readUInt8(at + 1) & 0x7f;
    at += 2;
    if (length === 126) {
      length = bytes.readUInt16BE(at);
      at += 2;
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(at));
      at += 8;
    }
    const mask = bytes.subarray(at, at + 4);
    const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + length));
    for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i % 4] ?? 0);
    all.push(payload);
    if (opcode === BINARY) binary.push(payload);
    if (opcode === TEXT) texts.push(payload.toString("utf8"));
    at += 4 + length;
  }
  return { all: Buffer.concat(all), binary: Buffer.concat(binary), texts };
}

/** Of the requests on one connection, by their content-length. */
function bodies(bytes: Buffer): readonly string[] {
  const found: string[] = [];
  for (let at = 0; ;) {
    const headEnd = bytes.indexOf("\r\n\r\n", at);
    if (headEnd < 0) return found;
    const length = Number(/content-length: (\d+)/i.exec(bytes.toString("latin1", at, headEnd))?.[1] ?? 0);
    at = headEnd + 4 + length;
    if (length > 0) found.push(bytes.toString("utf8", headEnd + 4, at));
  }
}
