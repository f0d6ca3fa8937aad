/**
 * Where TLS is on, the command line on the same machine still has a way in that no renewed certificate closes: plain HTTP on
 * the loopback interface, on a port that the home folder alone tells. The operator's token is asked for as ever.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import type { Cleanup } from "./cleanup.ts";

/** @returns its address */
export async function listenForOperator(http: FastifyInstance, cleanup: Cleanup): Promise<string> {
  const server = createServer((request, response) => {
    // Sites come in by the front, with their certificates.
    if (/^\/(api\/(federations|openapi)|healthz|metrics)/.test(request.url ?? ""))
      http.routing(request, response);
    else response.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanup.add(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
