/** GET /metrics for Prometheus, GET /healthz for whoever restarts processes. */
import type { FederationStatus } from "@consilium/shared/protocol/http";
import { sitePhaseSchema } from "@consilium/shared/protocol/round";
import type { FastifyInstance } from "fastify";
import { collectDefaultMetrics, Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Federations } from "../federation/registry.ts";
import type { Connections } from "../realtime/connections.ts";
import type { Certificates } from "../tls.ts";
import type { Access } from "./access.ts";

const PHASES = ["waiting", "open", "aggregating", "paused", "finished"] as const;

const OUTCOMES = ["open", "aggregated", "abandoned"] as const;
const SITE_STATES = [...sitePhaseSchema.options, "disconnected"] as const;

export interface Metrics {
  readonly registry: Registry;
  close(): void;
}

export interface MetricsPorts {
  readonly registry: Registry;
  readonly federations: Federations;
  readonly connections: Connections;
  readonly sockets: () => number;
  /** That are left for objects; null where there is no such number. */
  readonly freeBytes: () => Promise<number | null>;
  readonly certificates: Certificates | null;
}

export function createMetrics({
  registry,
  federations,
  connections,
  sockets,
  freeBytes,
  certificates,
}: MetricsPorts): Metrics {
  collectDefaultMetrics({ register: registry, prefix: "consilium_coordinator_" });
  const gauge = (
    name: string,
    help: string,
    labelNames: readonly string[],
    collect: (set: Gauge) => void | Promise<void>,
  ) =>
    new Gauge({
      name: `consilium_${name}`,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      async collect() {
        this.reset();
        await collect(this);
      },
    });

  gauge("sockets", "Open site sockets.", [], (metric) => {
    metric.set(sockets());
  });
  gauge("connections", "Open connections of any kind.", [], (metric) => {
    metric.set(connections.open);
  });
  new Counter({
    name: "consilium_network_bytes_total",
    help: "Bytes on the wire, since the start.",
    labelNames: ["direction"],
    registers: [registry],
    collect() {
      const { received, sent } = connections.bytes;
      this.reset();
      this.inc({ direction: "in" }, received);
      this.inc({ direction: "out" }, sent);
    },
  });
  gauge("rounds", "Attempts at rounds, by what became of them.", ["federation", "outcome"], (metric) => {
    for (const status of statuses(federations)) {
      const { federation } = status;
      for (const outcome of OUTCOMES) metric.set({ federation, outcome }, 0);
      for (const outcome of outcomesOf(status)) metric.inc({ federation, outcome });
    }
  });
  gauge("sites", "Sites, by what they do.", ["federation", "state"], (metric) => {
    for (const { federation, sites } of statuses(federations)) {
      for (const state of SITE_STATES) metric.set({ federation, state }, 0);
      for (const { connected, phase } of sites) {
        metric.inc({ federation, state: connected ? phase : "disconnected" });
      }
    }
  });
  gauge("round", "The round that a federation is in.", ["federation"], (metric) => {
    for (const { federation, round } of statuses(federations)) metric.set({ federation }, round);
  });
  gauge("phase", "1 for the phase that a federation is in.", ["federation", "phase"], (metric) => {
    for (const { federation, phase } of statuses(federations)) {
      for (const other of PHASES) metric.set({ federation, phase: other }, phase === other ? 1 : 0);
    }
  });
  gauge("loss", "Mean pretext loss of the newest round with contributions.", ["federation"], (metric) => {
    for (const { federation, history } of statuses(federations)) {
      const loss = history.findLast((round) => round.loss !== null)?.loss ?? null;
      if (loss !== null) metric.set({ federation }, loss);
    }
  });
  gauge("sites_connected", "Sites with a live connection.", ["federation"], (metric) => {
    for (const { federation, sites } of statuses(federations)) {
      metric.set({ federation }, sites.filter(({ connected }) => connected).length);
    }
  });
  gauge("storage_free_bytes", "Space that is left for models and updates.", [], async (metric) => {
    const free = await freeBytes();
    if (free !== null) metric.set(free);
  });
  if (certificates !== null) {
    gauge(
      "tls_certificate_expiry_timestamp_seconds",
      "When the TLS certificate in use ends.",
      [],
      (metric) => {
        metric.set(certificates.material.expiresAtMs / 1000);
      },
    );
  }
  gauge("attempts_abandoned", "Attempts at rounds that were given up.", ["federation"], (metric) => {
    for (const status of statuses(federations)) {
      const abandoned = outcomesOf(status).filter((outcome) => outcome === "abandoned");
      metric.set({ federation: status.federation }, abandoned.length);
    }
  });
  gauge("exclusions", "Attempts that went on without a site.", ["federation", "site"], (metric) => {
    for (const { federation, history } of statuses(federations)) {
      for (const { excluded } of history) for (const { site } of excluded) metric.inc({ federation, site });
    }
  });
  gauge(
    "site_last_seen_timestamp_seconds",
    "When a site last said something, since this start.",
    ["federation", "site"],
    (metric) => {
      for (const { federation, sites } of statuses(federations)) {
        for (const { site, lastSeenAt } of sites) {
          if (lastSeenAt !== null) metric.set({ federation, site }, Date.parse(lastSeenAt) / 1000);
        }
      }
    },
  );
  gauge("contributions", "Contributions accepted.", ["federation", "site"], (metric) => {
    for (const { federation, sites } of statuses(federations)) {
      for (const { site, contributions } of sites) metric.set({ federation, site }, contributions);
    }
  });
  gauge("received_bytes", "Bytes of accepted contributions.", ["federation", "site"], (metric) => {
    for (const { federation, sites } of statuses(federations)) {
      for (const { site, receivedBytes } of sites) metric.set({ federation, site }, receivedBytes);
    }
  });
  return {
    registry,
    close: () => {
      registry.clear();
    },
  };
}

/** A round that is being added up is not over. */
function outcomesOf({ phase, round, attempt, history }: FederationStatus): (typeof OUTCOMES)[number][] {
  return history.map((past) => {
    if (past.checkpoint !== null) return "aggregated";
    const isCurrent = phase === "aggregating" && past.round === round && past.attempt === attempt;
    return past.closedAt === null || isCurrent ? "open" : "abandoned";
  });
}

const statuses = (federations: Federations) => federations.all().map((service) => service.status());

export function metricsRoutes(app: FastifyInstance, { registry }: Metrics, access: Access): void {
  const seconds = new Histogram({
    name: "consilium_http_request_seconds",
    help: "Time to answer HTTP requests.",
    labelNames: ["route", "status"],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10],
    registers: [registry],
  });
  app.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "unknown";
    seconds.observe({ route, status: reply.statusCode }, reply.elapsedTime / 1000);
    request.log.debug(
      { method: request.method, route, status: reply.statusCode, durationMs: Math.round(reply.elapsedTime) },
      "request",
    );
  });
  app.get("/healthz", { schema: { hide: true } }, () => ({ status: "ok" }));
  app.get("/metrics", { schema: { hide: true }, onRequest: access.operatorsOnly }, async (_request, reply) =>
    reply.type(registry.contentType).send(await registry.metrics()),
  );
}
