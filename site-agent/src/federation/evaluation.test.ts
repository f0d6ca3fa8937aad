/** A masked federation of real agents and a real coordinator that evaluates: only the training is replaced by arithmetic. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { countScores } from "@consilium/shared/evaluation/auroc";
import type { SiteHealth } from "@consilium/shared/health/extras";
import { federationStatusSchema } from "@consilium/shared/protocol/http";
import { afterEach, expect, it } from "vitest";
import { z } from "zod";
import { status as showStatus } from "../../../coordinator/src/cli/operator.ts";
import { arithmeticTrainer, TestFederation } from "../../../test/support/federation.ts";
import { Random } from "../dataset/random.ts";
import { auroc } from "../downstream/metrics.ts";
import type { Trainer } from "../training/types.ts";

let federation: TestFederation | null = null;
afterEach(async () => {
  await federation?.close();
  federation = null;
});

interface Scored {
  readonly scores: readonly number[];
  readonly truth: readonly number[];
}

function classifier(seed: number, images: number): Scored {
  const random = new Random(seed);
  const truth = Array.from({ length: images }, (_, i) => Number(i % 3 === 0));
  return { truth, scores: truth.map((kind) => 1 / (1 + Math.exp(-random.normal() - 1.4 * (kind - 0.5)))) };
}

/** @param site null has no labels */
function evaluating(site: Scored | null): Trainer {
  const inner = arithmeticTrainer(0.001);
  const scores = site && [countScores(site.scores, site.truth)];
  const health: SiteHealth = { moments: null, heldOut: null, labelled: null, scores };
  return {
    ...inner,
    train: async (request, onProgress, signal) => ({
      ...(await inner.train(request, onProgress, signal)),
      health,
    }),
  };
}

it("knows the AUROC of all sites' pooled scores within .002, in status and audit log, also after a restart", async () => {
  const started = await TestFederation.start({
    rounds: 1,
    minSites: 3,
    aggregation: { examplesCap: 64 },
    health: { evaluation: { classes: ["normal", "pneumonia"] } },
  });
  federation = started;
  const found = [classifier(1, 210), classifier(2, 150), null];
  const runs = await Promise.all(
    found.map(async (site, at) => (await started.site(`site-${at}`)).run(evaluating(site))),
  );
  await Promise.all(runs.map(({ result }) => result));
  await started.restartCoordinator();

  const labelled = found.filter((site) => site !== null);
  const pooled = auroc(
    labelled.flatMap(({ scores }) => scores),
    labelled.flatMap(({ truth }) => truth),
  )();
  const response = await fetch(new URL("api/federations", started.coordinator.url), {
    headers: { authorization: `Bearer ${started.coordinator.operatorToken}` },
  });
  const [status] = z.array(federationStatusSchema).parse(await response.json());
  expect(status?.history).toHaveLength(1);
  for (const { totals } of status?.history ?? []) {
    const [pneumonia] = totals?.evaluation?.classes ?? [];
    expect(totals?.evaluation?.sites).toBe(2);
    expect(pneumonia).toMatchObject({ class: "pneumonia", positives: 120, negatives: 240 });
    expect(Math.abs((pneumonia?.auroc?.value ?? NaN) - (pooled ?? NaN))).toBeLessThan(0.002);
  }

  const home = path.join(started.folder, "coordinator");
  const lines: string[] = [];
  await showStatus({ home }, { json: false, print: (line) => void lines.push(line) });
  expect(lines.join("\n")).toMatch(
    /AUROC of 2 sites together, .* round 1 started from: pneumonia 0\.\d{3} \(0\.\d{3} to 0\.\d{3}; 120 against 240 images\)/,
  );
  const log = await readFile(path.join(home, "audit.jsonl"), "utf8");
  expect(log).toContain(`"evaluation":`);
});
