/** GET /metrics for Prometheus, GET /healthz for whoever restarts processes. */
import type { FastifyInstance } from "fastify";
import { collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Federations } from "../federation/registry.ts";
import type { Certificates } from "../tls.ts";
import type { Access } from "./access.ts";

const PHASES = ["waiting", "open", "aggregating", "finished"] as const;

export interface Metrics {
  readonly registry: Registry;
  close(): void;
}

/** @param freeBytes that are left for objects; null where there is no such number */
export function createMetrics(
  federations: Federations,
  connections: () => number,
  freeBytes: () => Promise<number | null>,
  certificates: Certificates | null,
): Metrics {
  const registry = new Registry();
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
    metric.set(connections());
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
    for (const { federation, history } of statuses(federations)) {
      const abandoned = history.filter(
        ({ checkpoint, closedAt }) => checkpoint === null && closedAt !== null,
      );
      metric.set({ federation }, abandoned.length);
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
