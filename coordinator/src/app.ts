/** Composition: the home folder, the plan and the ports become a coordinator. */
import { randomBytes } from "node:crypto";
import path from "node:path";
import type { RandomBytes } from "@consilium/shared/crypto/identity";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import type { FastifyInstance } from "fastify";
import pino, { type Logger } from "pino";
import type { z } from "zod";
import { startAggregationThread } from "./aggregation/thread.ts";
import { AuditFile } from "./audit/file.ts";
import { openFileBlobs } from "./blobs/fs.ts";
import { removeOrphans } from "./blobs/orphans.ts";
import { Cleanup } from "./cleanup.ts";
import { systemClock, type Clock } from "./clock.ts";
import { parseConfig, type ServeConfig, type serveConfigSchema } from "./config.ts";
import { Federations } from "./federation/registry.ts";
import type { FederationPorts } from "./federation/ports.ts";
import type { RecoveredStorage } from "./federation/recovery-findings.ts";
import { FederationService } from "./federation/service.ts";
import type { Fact } from "./federation/types.ts";
import { Council } from "./governance/council.ts";
import { Enrolment } from "./governance/enrolment.ts";
import { Operators } from "./governance/operator.ts";
import { adoptPlan } from "./governance/plan.ts";
import { Sessions } from "./governance/sessions.ts";
import { openHome, removeAddress, writeAddress } from "./home.ts";
import { createHttp } from "./http.ts";
import { Gateway } from "./realtime/gateway.ts";
import { Uploads } from "./realtime/uploads.ts";
import { createMetrics } from "./routes/metrics.ts";
import { openLibsqlStore } from "./store/libsql.ts";
import { lockHome } from "./store/lock.ts";

export interface CoordinatorOptions extends z.input<typeof serveConfigSchema> {
  /** Needed at the first start; later it may be left out, and must be the same if given. */
  readonly plan?: Plan | undefined;
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
}

export interface Coordinator {
  readonly url: string;
  /** Makes the browser that opens it an operator's. */
  readonly dashboardUrl: string;
  readonly operatorToken: string;
  readonly federations: Federations;
  /** What the start found beside the federations themselves. */
  readonly recovered: RecoveredStorage;
  /** Ends every connection. Nothing is written: what was committed is all there is, as after a kill. */
  close(): Promise<void>;
}

const systemRandom: RandomBytes = (length) => new Uint8Array(randomBytes(length));

const DASHBOARD_FOLDER = path.resolve(import.meta.dirname, "../dashboard/dist");

/** @throws config.invalid, home.in-use, plan.mismatch, port.in-use, disk.full */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const prepared = await prepareCoordinator(options);
  const { http, operatorToken, federations, config, cleanup, recovered } = prepared;
  try {
    const url = await listen(http, config);
    await writeAddress(config.home, url);
    cleanup.add(() => removeAddress(config.home));
    const dashboardUrl = `${url}/?token=${operatorToken}`;
    return { url, dashboardUrl, operatorToken, federations, recovered, close: () => cleanup.run() };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

/** Recovers the federations of the home folder and goes on with them. @throws config.invalid, home.in-use, plan.mismatch */
export async function prepareCoordinator({
  plan,
  clock = systemClock,
  random = systemRandom,
  logger = pino({ level: "silent" }),
  onFact,
  ...settings
}: CoordinatorOptions): Promise<PreparedCoordinator> {
  const config = parseConfig(settings);
  const cleanup = new Cleanup(logger);
  try {
    const home = await openHome(config.home, random);
    const { identity, operatorToken } = home;
    cleanup.add(lockHome(home.lockFile));
    const store = openLibsqlStore(home.databaseFile);
    cleanup.add(() => {
      store.close();
    });
    await adoptPlan(plan, { store, identity, clock });
    const blobs = await openFileBlobs(home.blobsFolder);
    const auditFile = await AuditFile.open(home.auditFile, store, logger);
    const followAudit = () => auditFile.follow();
    const aggregator = startAggregationThread(home.blobsFolder, identity);
    cleanup.add(() => aggregator.close());

    const { gatherMs } = config;
    const ports = { store, blobs, aggregator, clock, identity, random, logger, followAudit, gatherMs };
    const federations = await openFederations(ports, cleanup);
    const councils = await openCouncils(ports, federations, cleanup);
    const sessions = new Sessions({ ...ports, federations });
    const uploads = new Uploads({ ...ports, federations, maxGenesisBytes: config.maxModelBytes });
    const swept = await uploads.sweep();
    const promised = new Set([
      ...(await uploads.promisedBlobs()),
      ...federations.all().flatMap((service) => service.neededBlobs()),
    ]);
    const removed = await removeOrphans(
      blobs,
      async (sha256) => promised.has(sha256) || (await store.isCheckpoint(sha256, null)),
    );
    if (removed > 0) logger.info({ removed }, "objects without a row removed");
    const recovered = {
      uploadsKept: swept.kept,
      uploadsRemoved: swept.removed,
      orphansRemoved: removed + swept.strays,
    };
    follow(federations, uploads, logger, onFact);

    const sockets: { gateway: Gateway | null } = { gateway: null };
    const metrics = createMetrics(
      federations,
      () => sockets.gateway?.connections ?? 0,
      async () => (await blobs.freeBytes?.()) ?? null,
    );
    cleanup.add(() => {
      metrics.close();
    });
    const http = await createHttp({
      ...ports,
      federations,
      councils,
      sessions,
      metrics,
      enrolment: new Enrolment({ ...ports, councils, federations }),
      operators: new Operators(operatorToken),
      dashboardFolder: DASHBOARD_FOLDER,
    });
    cleanup.add(() => http.close());
    const { maxSocketsPerAddress, maxSocketsPerSite } = config;
    http.server.maxConnections = config.maxConnections;
    const gateway = new Gateway(http.server, {
      sessions,
      federations,
      uploads,
      logger,
      maxSocketsPerAddress,
      maxSocketsPerSite,
    });
    sockets.gateway = gateway;
    cleanup.add(() => {
      gateway.close();
    });
    return { http, operatorToken, federations, config, cleanup, recovered };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

async function openFederations(ports: FederationPorts, cleanup: Cleanup): Promise<Federations> {
  const services: FederationService[] = [];
  for (const row of await ports.store.federations()) {
    const service = await FederationService.open(ports, row);
    cleanup.add(() => service.close());
    services.push(service);
  }
  return new Federations(services);
}

async function openCouncils(
  ports: FederationPorts & { readonly logger: Logger },
  federations: Federations,
  cleanup: Cleanup,
): Promise<ReadonlyMap<string, Council>> {
  const councils = new Map<string, Council>();
  for (const service of federations.all()) {
    const onTrouble = (error: unknown): void => {
      const { code } = toConsiliumError(error);
      ports.logger.error(
        { federation: service.federation, code },
        "will be tried again after the next round",
      );
    };
    const council = await Council.open({ ...ports, onTrouble }, service);
    cleanup.add(() => council.close());
    councils.set(service.federation, council);
  }
  return councils;
}

/** Passes facts on, and clears away the uploads that a change has made pointless. */
function follow(
  federations: Federations,
  uploads: Uploads,
  logger: Logger,
  onFact: CoordinatorOptions["onFact"],
): void {
  for (const service of federations.all()) {
    service.subscribe(({ facts }) => {
      for (const fact of facts) onFact?.(service.federation, fact);
      if (!facts.some(({ fact }) => fact === "round.aggregated" || fact === "round.abandoned")) return;
      uploads.sweep().catch((error: unknown) => {
        logger.warn({ code: toConsiliumError(error).code }, "old uploads are still on the disk");
      });
    });
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
