/** Status as server-sent events: at most four a second, fewer when it is large, and nothing while nothing changes. */
import type { FastifyReply } from "fastify";
import type { Clock } from "../clock.ts";
import type { FederationService } from "../federation/service.ts";

const SHORTEST_PAUSE_MS = 250;
/** A status of this size may be sent once a second; a larger one less often. */
const BYTES_PER_SECOND = 1_000_000;
/** Proxies close what is silent for long. */
const KEEP_ALIVE_MS = 20_000;

export function streamStatus(service: FederationService, reply: FastifyReply, clock: Clock): void {
  reply.hijack();
  const response = reply.raw;
  response.writeHead(200, {
    "content-type": "text/event-stream",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
  });
  let cancelPause: (() => void) | null = null;
  let cancelKeepAlive: () => void = () => undefined;
  let changed = false;

  const keepAlive = (): void => {
    cancelKeepAlive = clock.after(KEEP_ALIVE_MS, () => {
      response.write(": still here\n\n");
      keepAlive();
    });
  };
  const send = (): void => {
    const text = JSON.stringify(service.status());
    changed = false;
    // A reader that is slower than the changes gets the newest status when it has caught up.
    const flowing = response.write(`data: ${text}\n\n`);
    const pauseMs = Math.max(SHORTEST_PAUSE_MS, (text.length / BYTES_PER_SECOND) * 1000);
    cancelPause = clock.after(pauseMs, () => {
      if (flowing || !response.writableNeedDrain) resume();
      else response.once("drain", resume);
    });
  };
  const resume = (): void => {
    cancelPause = null;
    if (changed) send();
  };
  const unsubscribe = service.subscribe(() => {
    changed = true;
    if (cancelPause === null && !response.writableNeedDrain) send();
  });
  response.on("close", () => {
    unsubscribe();
    cancelPause?.();
    cancelKeepAlive();
  });
  send();
  keepAlive();
}
