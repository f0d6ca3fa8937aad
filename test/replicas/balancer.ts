/** A TCP balancer: connections go to the healthy servers in turn, and those to a server that fails are closed. */
import net, { type AddressInfo, type Socket } from "node:net";

export interface Balancer {
  readonly url: string;
  close(): Promise<void>;
}

const CHECK_EVERY_MS = 500;
const CHECK_TIMEOUT_MS = 1_500;

/** @param ports of the servers on 127.0.0.1 */
export async function startBalancer(ports: readonly number[]): Promise<Balancer> {
  const healthy = new Set(ports);
  const socketsOf = new Map(ports.map((port) => [port, new Set<Socket>()]));
  let turn = 0;

  const server = net.createServer((near) => {
    const choice = [...healthy];
    const port = choice[turn++ % choice.length];
    if (port === undefined) {
      near.destroy();
      return;
    }
    const far = net.connect(port, "127.0.0.1");
    const sockets = socketsOf.get(port);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets?.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        sockets?.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });

  const check = async (port: number): Promise<void> => {
    try {
      const signal = AbortSignal.timeout(CHECK_TIMEOUT_MS);
      const { ok } = await fetch(`http://127.0.0.1:${port}/healthz`, { signal });
      if (!ok) throw new Error("not healthy");
      healthy.add(port);
    } catch {
      healthy.delete(port);
      for (const socket of socketsOf.get(port) ?? []) socket.destroy();
    }
  };
  const timer = setInterval(() => {
    for (const port of ports) void check(port);
  }, CHECK_EVERY_MS);

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      clearInterval(timer);
      for (const sockets of socketsOf.values()) for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
