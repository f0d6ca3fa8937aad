/** Composition: the home folder, the plan and the ports become a coordinator. */
import { randomBytes } from "node:crypto";
import path from "node:path";
import type { RandomBytes } from "@consilium/shared/crypto/identity";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import type { FastifyInstance } from "fastify";
import pino, { type Logger } from "pino";
import { Registry } from "prom-client";
import type { z } from "zod";
import { startAggregationThread } from "./aggregation/thread.ts";
import { AuditFile } from "./audit/file.ts";
import { Cleanup } from "./cleanup.ts";
import { systemClock, type Clock } from "./clock.ts";
import { countIn } from "./counted.ts";
import { parseConfig, type ServeConfig, type serveConfigSchema } from "./config.ts";
import { Federations } from "./federation/registry.ts";
import type { RecoveredStorage } from "./federation/recovery-findings.ts";
import type { Fact } from "./federation/types.ts";
import { Enrolment } from "./governance/enrolment.ts";
import { Operators } from "./governance/operator.ts";
import { adoptPlans } from "./governance/plan.ts";
import { Sessions } from "./governance/sessions.ts";
import type { StartingFile } from "./governance/starting-model.ts";
import { openHome, removeAddress, writeAddress, type Home } from "./home.ts";
import { createHttp } from "./http.ts";
import { Connections } from "./realtime/connections.ts";
import { Gateway } from "./realtime/gateway.ts";
import { Running, type RunningPorts } from "./running.ts";
import { Uploads } from "./realtime/uploads.ts";
import { listenForOperator } from "./operator-server.ts";
import { createMetrics } from "./routes/metrics.ts";
import type { Forwarder } from "./replicas/forwarding.ts";
import type { Leases } from "./replicas/leases.ts";
import { assertPeer, Peers } from "./replicas/peers.ts";
import { replicaOf } from "./replicas/replica.ts";
import { openStorage } from "./storage/open.ts";
import { assertSameIdentity } from "./storage/same-identity.ts";
import { clearBlobs } from "./storage/unneeded.ts";
import { lockHome } from "./store/lock.ts";
import { Certificates, type CertificatePorts } from "./tls.ts";

export interface CoordinatorOptions extends z.input<typeof serveConfigSchema> {
  /** Needed at the first start; later they may be left out, and must be the same if given. One federation for each. */
  readonly plan?: Plan | readonly Plan[] | undefined;
  /** Files that plans start from; needed once, with the plan. */
  readonly startFrom?: readonly StartingFile[];
  readonly clock?: Clock;
  readonly random?: RandomBytes;
  readonly logger?: Logger;
  /** Told of everything that is committed. */
  readonly onFact?: (federation: string, fact: Fact) => void;
}

/** A coordinator that does everything but listen. */
export interface PreparedCoordinator {
  readonly http: FastifyInstance;
  readonly operatorToken: string;
  readonly federations: Federations;
  readonly config: ServeConfig;
  readonly cleanup: Cleanup;
  readonly recovered: RecoveredStorage;
  readonly certificates: Certificates | null;
  /** Begins to run federations that nobody runs; null where they run from the start. */
  readonly joinReplicas: ((url: string) => void) | null;
}

export interface Coordinator {
  readonly url: string;
  /** Makes the browser that opens it an operator's. */
  readonly dashboardUrl: string;
  readonly operatorToken: string;
  readonly federations: Federations;
  /** What the start found beside the federations themselves. */
  readonly recovered: RecoveredStorage;
  /** Of its own TLS; null where it speaks plain HTTP. */
  readonly certificates: Certificates | null;
  /** Ends every connection. Nothing is written: what was committed is all there is, as after a kill. */
  close(): Promise<void>;
}

const systemRandom: RandomBytes = (length) => new Uint8Array(randomBytes(length));

const DASHBOARD_FOLDER = path.resolve(import.meta.dirname, "../dashboard/dist");

/** @throws config.invalid, tls.unusable, home.in-use, plan.mismatch, start.missing, port.in-use, disk.full */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const prepared = await prepareCoordinator(options);
  const { http, operatorToken, federations, config, cleanup, recovered, certificates, joinReplicas } =
    prepared;
  try {
    const plainUrl = await listen(http, config);
    const url = certificates === null ? plainUrl : plainUrl.replace(/^http:/, "https:");
    await writeAddress(config.home, certificates === null ? url : await listenForOperator(http, cleanup));
    cleanup.add(() => removeAddress(config.home));
    joinReplicas?.((config.advertise ?? url).replace(/\/+$/, ""));
    const dashboardUrl = `${url}/?token=${operatorToken}`;
    const close = () => cleanup.run();
    return { url, dashboardUrl, operatorToken, federations, recovered, certificates, close };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

/** Recovers the federations of the home folder and goes on with them. @throws config.invalid, home.in-use, plan.mismatch */
export async function prepareCoordinator({
  plan,
  startFrom = [],
  clock = systemClock,
  random = systemRandom,
  logger = pino({ level: "silent" }),
  onFact,
  ...settings
}: CoordinatorOptions): Promise<PreparedCoordinator> {
  const config = parseConfig(settings);
  const cleanup = new Cleanup(logger);
  try {
    const certificates = await openCertificates(config, { clock, logger });
    cleanup.add(() => certificates?.close());
    const home = await openHome(config.home, random);
    const { identity, operatorToken } = home;
    cleanup.add(lockHome(home.lockFile));
    const { store, blobs, blobsLocation, leases } = await openStorage(config, home, {
      random,
      logger,
      cleanup,
    });
    await assertSameIdentity(store, identity);
    await adoptPlans(plan, { store, blobs, startFrom, identity, clock });
    const auditFile = await AuditFile.open(home.auditFile, store, logger);
    const followAudit = () => auditFile.follow();
    const aggregator = startAggregationThread(blobsLocation, identity);
    cleanup.add(() => aggregator.close());

    const { gatherMs } = config;
    const registry = new Registry();
    const counted = countIn(registry);
    const ports = {
      store,
      blobs,
      aggregator,
      clock,
      identity,
      random,
      logger,
      followAudit,
      gatherMs,
      counted,
    };
    const federations = new Federations((name) => leases?.mayHave(name) ?? false);
    const sessions = new Sessions({ ...ports, federations });
    const uploads = new Uploads({ ...ports, federations, maxGenesisBytes: config.maxModelBytes });
    const running = new Running(ports, federations);
    const { councils } = running;
    cleanup.add(() => running.close());
    follow(federations, uploads, logger, onFact);
    const recovered = leases === null ? await recover(ports, running, uploads) : NOTHING_BESIDE;
    const forwarder =
      leases === null ? null : await openForwarder(leases, federations, { ...home, certificates, logger });

    const sockets: { gateway: Gateway | null } = { gateway: null };
    const { maxSocketsPerAddress, maxSocketsPerSite, maxConnections, heartbeatTimeoutMs } = config;
    const connections = new Connections({ max: maxConnections, maxHoldsPerSite: maxSocketsPerSite });
    const metrics = createMetrics({
      registry,
      federations,
      connections,
      sockets: () => sockets.gateway?.connections ?? 0,
      freeBytes: async () => (await blobs.freeBytes?.()) ?? null,
      certificates,
    });
    cleanup.add(() => {
      metrics.close();
    });
    const http = await createHttp({
      ...ports,
      federations,
      councils,
      sessions,
      metrics,
      connections,
      certificates,
      forwarder,
      enrolment: new Enrolment({ ...ports, councils, federations }),
      operators: new Operators(operatorToken),
      dashboardFolder: DASHBOARD_FOLDER,
    });
    cleanup.add(() => http.close());
    const gateway = new Gateway(forwarder?.upgradesOf(http.server, connections) ?? http.server, {
      addressOf: (request) => forwarder?.addressOf(request) ?? request.socket.remoteAddress ?? "unknown",
      sessions,
      federations,
      uploads,
      counted,
      logger,
      connections,
      maxSocketsPerAddress,
      maxSocketsPerSite,
      heartbeatTimeoutMs,
    });
    sockets.gateway = gateway;
    cleanup.add(() => {
      gateway.close();
    });
    if (forwarder !== null) {
      cleanup.add(() => {
        forwarder.close();
      });
    }
    const joinReplicas =
      leases === null || forwarder === null
        ? null
        : (url: string) => {
            const run = replicaOf(leases, { store, logger, running, uploads });
            leases.start(url, {
              ...run,
              looked: () => {
                forwarder.endMoved();
              },
            });
          };
    return { http, operatorToken, federations, config, cleanup, recovered, certificates, joinReplicas };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

/** Brings an HTTP client with it, which one coordinator alone has no use for. */
async function openForwarder(
  leases: Leases,
  federations: Federations,
  ports: Pick<Home, "identity" | "operatorToken"> & {
    readonly certificates: Certificates | null;
    readonly logger: Logger;
  },
): Promise<Forwarder> {
  const { Forwarder } = await import("./replicas/forwarding.ts");
  const peers = new Peers(ports.certificates);
  return new Forwarder({ ...ports, leases: () => leases.views(), federations, peers });
}

/** Where each federation says by itself what was found of it. */
const NOTHING_BESIDE: RecoveredStorage = { uploadsKept: 0, uploadsRemoved: 0, orphansRemoved: 0 };

/** Runs everything that the store holds, and clears up. */
async function recover(
  { store, blobs, logger }: RunningPorts,
  running: Running,
  uploads: Uploads,
): Promise<RecoveredStorage> {
  for (const row of await store.federations()) await running.start(row);
  const { kept, removed, strays } = await uploads.sweep();
  const orphans = await clearBlobs(store, blobs, logger);
  return { uploadsKept: kept, uploadsRemoved: removed, orphansRemoved: orphans + strays };
}

/** Passes facts on, and clears away the uploads that a change has made pointless. */
function follow(
  federations: Federations,
  uploads: Uploads,
  logger: Logger,
  onFact: CoordinatorOptions["onFact"],
): void {
  federations.follow((service) =>
    service.subscribe(({ facts }) => {
      for (const fact of facts) onFact?.(service.federation, fact);
      if (!facts.some(({ fact }) => fact === "round.aggregated" || fact === "round.abandoned")) return;
      uploads.sweep().catch((error: unknown) => {
        logger.warn({ code: toConsiliumError(error).code }, "old uploads are still on the disk");
      });
    }),
  );
}

/** @throws tls.unusable, config.invalid */
async function openCertificates(config: ServeConfig, ports: CertificatePorts): Promise<Certificates | null> {
  const certificates = await Certificates.open(config, ports);
  if (certificates === null || config.database === null) return certificates;
  try {
    assertPeer(certificates.material, config.advertise);
    return certificates;
  } catch (error) {
    certificates.close();
    throw error;
  }
}

/** @throws port.in-use, config.invalid */
async function listen(http: FastifyInstance, { host, port }: ServeConfig): Promise<string> {
  try {
    return await http.listen({ host, port });
  } catch (cause) {
    const known = toConsiliumError(cause);
    if (known.code === "port.in-use") throw known;
    throw new ConsiliumError("config.invalid", {
      detail: "(the coordinator cannot listen on that address and port)",
      culprits: ["host", "port"],
      cause,
    });
  }
}
