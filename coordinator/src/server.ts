/** The servers below fastify: plain or TLS, with little patience for those who say nothing. */
import { createServer as createPlain, type RequestListener, type Server } from "node:http";
import { createServer as createTls } from "node:https";
import { contextOf, type Certificates } from "./tls.ts";

/** From the beginning of a connection; one that says nothing at all is let go as well. */
const HEADERS_TIMEOUT_MS = 10_000;

const LIMITS = {
  headersTimeout: HEADERS_TIMEOUT_MS,
  connectionsCheckingInterval: HEADERS_TIMEOUT_MS / 4,
  // Slow senders of bodies are let go, too.
  requestTimeout: 30_000,
  // Longer than a proxy in front keeps one, so that it is the proxy who ends it.
  keepAliveTimeout: 72_000,
};

export function createServer(handler: RequestListener, certificates: Certificates | null): Server {
  if (certificates === null) return createPlain(LIMITS, handler);
  const { material } = certificates;
  const wantsCertificate = material.clientCa !== null;
  const server = createTls(
    {
      ...LIMITS,
      ...contextOf(material),
      minVersion: "TLSv1.2",
      handshakeTimeout: HEADERS_TIMEOUT_MS,
      requestCert: wantsCertificate,
      rejectUnauthorized: wantsCertificate,
    },
    handler,
  );
  // Open connections go on with what they have agreed on.
  certificates.onRenewed((renewed) => {
    server.setSecureContext({ ...contextOf(renewed), minVersion: "TLSv1.2" });
  });
  return server;
}
