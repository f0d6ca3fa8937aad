/** A process of attackers: begins what it is told to, and answers with how it fares. */
import { connect, type Socket } from "node:net";
import { begin, type Assault, type Losses } from "./attacks.ts";

const sockets = new Set<Socket>();
const answers: Record<string, number> = {};
let opened = 0;
let ended = 0;
let sentBytes = 0;
/** Waiting to be opened again. */
let fallen = 0;

/** Resolves when it is open, or is not going to be. */
function open(assault: Assault): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(assault.port, "127.0.0.1");
    socket.once("connect", () => {
      opened++;
      sockets.add(socket);
      begin(socket, assault);
      resolve();
    });
    socket.once("data", (data: Buffer) => {
      const line = data.toString("latin1").split("\r\n", 1)[0] ?? "";
      answers[line] = (answers[line] ?? 0) + 1;
    });
    socket.on("error", () => undefined);
    socket.once("close", () => {
      if (sockets.delete(socket)) ended++;
      sentBytes += socket.bytesWritten - socket.writableLength;
      fallen++;
      resolve();
    });
  });
}

async function attack(assault: Assault): Promise<void> {
  const atOnce = 200;
  for (let i = 0; i < assault.count; i += atOnce) {
    const wave = Math.min(atOnce, assault.count - i);
    await Promise.all(Array.from({ length: wave }, () => open(assault)));
  }
  const { againPerSecond = 0 } = assault;
  if (againPerSecond === 0) return;
  setInterval(() => {
    for (let i = 0; i < againPerSecond / 10 && fallen > 0; i++) {
      fallen--;
      void open(assault);
    }
  }, 100);
}

process.on("message", (message: Assault | "losses") => {
  void (async () => {
    if (message !== "losses") await attack(message);
    const losses: Losses = { open: sockets.size, opened, ended, sentBytes, answers };
    process.send?.(losses);
  })();
});
process.on("disconnect", () => process.exit());
