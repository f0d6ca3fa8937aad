/** Composition: the home folder, the plan and the ports become a running coordinator. */
import { randomBytes } from "node:crypto";
import path from "node:path";
import { sign, type Identity, type RandomBytes } from "@consilium/shared/crypto/identity";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { planHash, type Plan } from "@consilium/shared/plan";
import pino, { type Logger } from "pino";
import type { z } from "zod";
import { startAggregationThread } from "./aggregation/thread.ts";
import { auditEvent } from "./audit/events.ts";
import { AuditFile } from "./audit/file.ts";
import { openFileBlobs } from "./blobs/fs.ts";
import { systemClock, type Clock } from "./clock.ts";
import { parseConfig, type serveConfigSchema } from "./config.ts";
import { Federations } from "./federation/registry.ts";
import { FederationService, type FederationPorts } from "./federation/service.ts";
import type { Fact } from "./federation/types.ts";
import { Enrolment } from "./governance/enrolment.ts";
import { Operators } from "./governance/operator.ts";
import { Sessions } from "./governance/sessions.ts";
import { openHome, removeAddress, writeAddress } from "./home.ts";
import { createHttp } from "./http.ts";
import { Gateway } from "./realtime/gateway.ts";
import { Uploads } from "./realtime/uploads.ts";
import { createMetrics } from "./routes/metrics.ts";
import { openLibsqlStore } from "./store/libsql.ts";
import { lockHome } from "./store/lock.ts";
import type { Store } from "./store/store.ts";

export interface CoordinatorOptions extends z.input<typeof serveConfigSchema> {
  /** Needed at the first start; later it may be left out, and must be the same if given. */
  readonly plan?: Plan | undefined;
  readonly clock?: Clock;
  readonly random?: RandomBytes;
  readonly logger?: Logger;
  /** Told of everything that is committed. */
  readonly onFact?: (federation: string, fact: Fact) => void;
}

export interface Coordinator {
  readonly url: string;
  /** Makes the browser that opens it an operator's. */
  readonly dashboardUrl: string;
  readonly operatorToken: string;
  readonly federations: Federations;
  /** Ends every connection. Nothing is written: what was committed is all there is, as after a kill. */
  close(): Promise<void>;
}

const systemRandom: RandomBytes = (length) => new Uint8Array(randomBytes(length));

const DASHBOARD_FOLDER = path.resolve(import.meta.dirname, "../dashboard/dist");

/** @throws config.invalid, home.in-use, plan.mismatch, port.in-use, disk.full */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const {
    plan,
    clock = systemClock,
    random = systemRandom,
    logger = pino({ level: "silent" }),
    onFact,
    ...settings
  } = options;
  const config = parseConfig(settings);
  const cleanup = new Cleanup(logger);
  try {
    const home = await openHome(config.home, random);
    const { identity } = home;
    cleanup.add(lockHome(home.lockFile));
    const store = openLibsqlStore(home.databaseFile);
    cleanup.add(() => {
      store.close();
    });
    await adoptPlan(store, plan, identity, clock);
    const blobs = await openFileBlobs(home.blobsFolder);
    const auditFile = await AuditFile.open(home.auditFile, store);
    const aggregator = startAggregationThread(home.blobsFolder, identity);
    cleanup.add(() => aggregator.close());

    const followAudit = () => auditFile.follow();
    const federationPorts: FederationPorts = {
      store,
      blobs,
      aggregator,
      clock,
      identity,
      logger,
      followAudit,
      gatherMs: config.gatherMs,
    };
    const federations = await openFederations(federationPorts, cleanup);
    const sessions = new Sessions({ federations, identity, clock, random });
    const enrolment = new Enrolment({ store, federations, identity, clock, random, followAudit });
    const operators = new Operators(home.operatorToken);
    const uploads = new Uploads({
      store,
      blobs,
      aggregator,
      federations,
      random,
      logger,
      maxGenesisBytes: config.maxModelBytes,
    });
    await removeOrphans(federationPorts, federations, uploads);
    for (const service of federations.all()) {
      service.subscribe((facts) => {
        for (const fact of facts) onFact?.(service.federation, fact);
        if (!facts.some(({ fact }) => fact === "round.aggregated" || fact === "round.abandoned")) return;
        uploads.sweep().catch((error: unknown) => {
          logger.warn({ code: toConsiliumError(error).code }, "old uploads are still on the disk");
        });
      });
    }

    const sockets: { gateway: Gateway | null } = { gateway: null };
    const metrics = createMetrics(federations, () => sockets.gateway?.connections ?? 0);
    cleanup.add(() => {
      metrics.close();
    });
    const app = await createHttp({
      store,
      blobs,
      federations,
      enrolment,
      sessions,
      operators,
      metrics,
      clock,
      logger,
      dashboardFolder: DASHBOARD_FOLDER,
    });
    cleanup.add(() => app.close());
    const gateway = new Gateway(app.server, {
      sessions,
      federations,
      uploads,
      logger,
      maxSocketsPerAddress: config.maxSocketsPerAddress,
    });
    sockets.gateway = gateway;
    cleanup.add(() => {
      gateway.close();
    });

    const url = await app.listen({ host: config.host, port: config.port });
    await writeAddress(config.home, url);
    cleanup.add(() => removeAddress(config.home));
    logger.info({ federations: federations.all().map(({ federation }) => federation) }, "listening");
    return {
      url,
      dashboardUrl: `${url}/?token=${home.operatorToken}`,
      operatorToken: home.operatorToken,
      federations,
      close: () => cleanup.run(),
    };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

/** Adds the plan's federation to the store unless it is there already. @throws config.invalid, plan.mismatch */
async function adoptPlan(
  store: Store,
  plan: Plan | undefined,
  identity: Identity,
  clock: Clock,
): Promise<void> {
  const rows = await store.federations();
  if (plan === undefined) {
    if (rows.length > 0) return;
    throw new ConsiliumError("config.invalid", {
      detail: "(the first start needs --plan; `consilium-coordinator plan` writes one)",
      culprits: ["plan"],
    });
  }
  const hash = planHash(plan);
  const known = rows.find(({ federation }) => federation === plan.federation);
  if (known === undefined) {
    const { federation } = plan;
    await store.createFederation(
      { federation, plan: sign("plan", plan, identity), planHash: hash },
      auditEvent(federation, "federation.created", { planHash: hash }, clock.now()),
    );
  } else if (known.planHash !== hash) {
    throw new ConsiliumError("plan.mismatch", {
      detail: "(the home folder holds another plan for this federation)",
      culprits: [plan.federation],
    });
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

/** Blobs whose row a crash has prevented, and sealed updates that are spent. */
async function removeOrphans(
  { store, blobs, logger }: FederationPorts,
  federations: Federations,
  uploads: Uploads,
): Promise<void> {
  await uploads.sweep();
  const needed = new Set(await uploads.promisedBlobs());
  for (const service of federations.all()) {
    for (const sha256 of service.neededBlobs()) needed.add(sha256);
  }
  let removed = 0;
  for (const sha256 of await blobs.list()) {
    if (needed.has(sha256) || (await store.isCheckpoint(sha256, null))) continue;
    await blobs.remove(sha256);
    removed += 1;
  }
  if (removed > 0) logger.info({ removed }, "objects without a row removed");
}

/** Undoes what was set up, newest first; one failure does not keep the rest from it. */
class Cleanup {
  readonly #steps: (() => unknown)[] = [];
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(step: () => unknown): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        this.#logger.warn({ code: toConsiliumError(error).code }, "could not close everything");
      }
    }
  }
}
