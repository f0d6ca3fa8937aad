/** The HTTP side as one fastify application, ready to be listened with or injected into. */
import cookie from "@fastify/cookie";
import swagger from "@fastify/swagger";
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from "@fastify/type-provider-zod";
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from "fastify";
import type { Blobs } from "./blobs/blobs.ts";
import type { Clock } from "./clock.ts";
import type { Counted } from "./counted.ts";
import type { Federations } from "./federation/registry.ts";
import type { Council } from "./governance/council.ts";
import type { Enrolment } from "./governance/enrolment.ts";
import type { Operators } from "./governance/operator.ts";
import type { Sessions } from "./governance/sessions.ts";
import type { Connections } from "./realtime/connections.ts";
import type { Forwarder } from "./replicas/forwarding.ts";
import { Access } from "./routes/access.ts";
import { blobRoutes } from "./routes/blobs.ts";
import { handleErrors } from "./routes/errors.ts";
import { governanceRoutes } from "./routes/governance.ts";
import { metricsRoutes, type Metrics } from "./routes/metrics.ts";
import { operatorRoutes } from "./routes/operators.ts";
import { servePage } from "./routes/page.ts";
import { siteRoutes } from "./routes/sites.ts";
import { createServer } from "./server.ts";
import type { Store } from "./store/store.ts";
import type { Certificates } from "./tls.ts";

export interface HttpPorts {
  readonly store: Store;
  readonly blobs: Blobs;
  readonly federations: Federations;
  readonly councils: ReadonlyMap<string, Council>;
  readonly enrolment: Enrolment;
  readonly sessions: Sessions;
  readonly operators: Operators;
  readonly metrics: Metrics;
  readonly counted: Counted;
  readonly connections: Connections;
  /** Null for plain HTTP. */
  readonly certificates: Certificates | null;
  /** Where other coordinators run federations, too. */
  readonly forwarder: Forwarder | null;
  readonly clock: Clock;
  readonly logger: FastifyBaseLogger;
  readonly dashboardFolder: string;
}

/** The largest message is a signed header of about a kilobyte. */
const MAX_BODY_BYTES = 64 * 1024;

/** Mantine sets styles on elements; scripts come from here alone. */
const SECURITY_HEADERS = {
  "content-security-policy":
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

export async function createHttp(ports: HttpPorts): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: ports.logger,
    // Fastify's own request log holds addresses and queries; ours (routes/metrics.ts) holds the route.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: true,
    serverFactory: (handler) => createServer(handler, ports.certificates),
  });
  ports.connections.watch(app.server);
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  handleErrors(app, ports.counted);
  app.addHook("onRequest", async (_request, reply) => {
    reply.headers(SECURITY_HEADERS);
  });
  await app.register(cookie);
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Consilium coordinator",
        description: "Everything small. Updates travel over socket.io, see docs/architecture.md.",
        version: "1",
      },
    },
    transform: jsonSchemaTransform,
  });
  await ports.forwarder?.register(app);
  const access = new Access(ports.operators, ports.sessions);
  keepConnections(app, ports.connections, access);
  metricsRoutes(app, ports.metrics, access);
  await app.register(siteRoutes(ports));
  const { forwarder, federations } = ports;
  const statuses = () => forwarder?.statuses() ?? federations.all().map((service) => service.status());
  await app.register(operatorRoutes({ ...ports, access, statuses }));
  await app.register(governanceRoutes({ ...ports, access }));
  await app.register(blobRoutes({ ...ports, access }));
  app.get("/api/openapi.json", { schema: { hide: true } }, () => app.swagger());
  await app.register(async (scope) => {
    await servePage(scope, { operators: ports.operators, folder: ports.dashboardFolder });
  });
  return app;
}

/** A connection stays while it answers somebody who is known. */
function keepConnections(app: FastifyInstance, connections: Connections, access: Access): void {
  app.addHook("onRequest", async (request, reply) => {
    const caller = access.callerOf(request);
    if (caller !== null) reply.raw.once("close", connections.keep(request.raw.socket, caller.site));
  });
}
