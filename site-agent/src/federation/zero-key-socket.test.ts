import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { NodeWebSocket } from "socket.io-client";
import { expect, it } from "vitest";
import { ZeroKeySocket } from "./zero-key-socket.ts";

const MESSAGE = randomBytes(70_000);
/** Final binary frame; masked, with a length of eight bytes. RFC 6455, section 5.2. */
const HEAD = Buffer.from([0x82, 0xff]);
const LENGTH_BYTES = 8;
const KEY_BYTES = 4;

it("sends frames whose masking key is zero: the bytes as they are", async () => {
  const { key, payload } = await frameSentBy(ZeroKeySocket);
  expect(key).toEqual(Buffer.alloc(KEY_BYTES));
  expect(payload).toEqual(MESSAGE);
});

it("differs in this from the socket that it extends", async () => {
  const { key, payload } = await frameSentBy(NodeWebSocket);
  expect(payload).not.toEqual(MESSAGE);
  expect(payload.map((byte, i) => byte ^ (key[i % KEY_BYTES] ?? 0))).toEqual(MESSAGE);
});

/** What a server reads after the handshake. */
async function frameSentBy(Socket: typeof NodeWebSocket): Promise<{ key: Buffer; payload: Buffer }> {
  const frameBytes = HEAD.length + LENGTH_BYTES + KEY_BYTES + MESSAGE.length;
  const server = createServer();
  const frame = new Promise<Buffer>((resolve) => {
    server.on("upgrade", ({ headers }, socket) => {
      // Section 4.2.2.
      const nonce = `${headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash("sha1").update(nonce).digest("base64");
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      const parts: Buffer[] = [];
      socket.on("data", (part: Buffer) => {
        parts.push(part);
        const read = Buffer.concat(parts);
        if (read.length >= frameBytes) resolve(read.subarray(0, frameBytes));
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const transport = new Socket({ query: {}, socket: { binaryType: "nodebuffer" } });
  const socket = transport.createSocket(`ws://127.0.0.1:${port}/`, undefined, {}) as WebSocket & {
    terminate: () => void;
  };
  socket.onopen = () => {
    socket.send(MESSAGE);
  };
  try {
    const read = await frame;
    expect(read.subarray(0, HEAD.length)).toEqual(HEAD);
    const at = HEAD.length + LENGTH_BYTES;
    return { key: read.subarray(at, at + KEY_BYTES), payload: read.subarray(at + KEY_BYTES) };
  } finally {
    socket.terminate();
    server.close();
  }
}
