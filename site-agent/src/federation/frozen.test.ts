/** A federation that freezes the beginning of its encoder, plain and masked, over a coordinator that starts again. */
import { sha256 } from "@consilium/shared/canonical";
import { encodeCheckpoint } from "@consilium/shared/codec";
import { federationStatusSchema } from "@consilium/shared/protocol/http";
import { drawFactor } from "@consilium/shared/low-rank";
import type { Manifest } from "@consilium/shared/manifest";
import { parsePlan } from "@consilium/shared/plan";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { arithmeticTrainer, TestFederation } from "../../../test/support/federation.ts";
import { readModel } from "../home/models.ts";
import type { Trainer } from "../training/types.ts";
import { receiptsFile } from "./receipts.ts";
import { SiteModel } from "./site-model.ts";

const MANIFEST: Manifest = {
  tensors: [
    { name: "cls_token", shape: [1, 1, 100], dtype: "float32" },
    { name: "patch_embed.proj.weight", shape: [50, 100], dtype: "float32" },
    { name: "blocks.0.mlp.fc1.weight", shape: [60, 100], dtype: "float32" },
    { name: "blocks.1.mlp.fc1.weight", shape: [20, 100], dtype: "float32" },
    { name: "norm.weight", shape: [100], dtype: "float32" },
  ],
};
const ALL = 13_200;
const TRAINED = 2_100;
const FILE = Uint8Array.of(1, 2, 3, 4);
const START = { sha256: sha256(FILE), bytes: 4, format: "checkpoint" } as const;
const training = { warmupRounds: 0, frozenBlocks: 1 };

async function* file(): AsyncGenerator<Uint8Array, void, undefined> {
  yield await Promise.resolve(FILE);
}

let federation: TestFederation | null = null;
afterEach(async () => {
  await federation?.close();
  federation = null;
});

/** Adds to what is trained, and to nothing else. */
function freezing(delta: number, trained = TRAINED): Trainer {
  const inner = arithmeticTrainer(delta, trained);
  return {
    ...inner,
    genesis: () => {
      const values = Float32Array.from({ length: ALL }, (_, i) => i / ALL);
      return Promise.resolve({ manifest: MANIFEST, values, changes: [] });
    },
  };
}

describe.each(["plain", "masked"] as const)("a %s federation with frozen layers", (secure) => {
  it("trains and sends what is behind them alone, and ends with a whole model", async () => {
    const plan = {
      rounds: 3,
      minSites: 3,
      start: START,
      training,
      aggregation: { secure },
      average: { decay: 0.5 },
    };
    const startFrom = [{ sha256: START.sha256, bytes: 4, read: file }];
    const running = (federation = await TestFederation.start(plan, { startFrom }));
    const sites = [await running.site("a"), await running.site("b"), await running.site("c")];
    const runs = sites.map((site) => site.run(freezing(1e-4)));
    await runs[0]?.waitFor(({ phase, round }) => phase === "training" && round === 2);
    await running.restartCoordinator();
    await Promise.all(runs.map(({ result }) => result));
    for (const { home } of sites) {
      const { values, manifest } = await readModel(home, "global");
      expect(manifest).toEqual(MANIFEST);
      const frozen = ALL - TRAINED;
      expect(values.findIndex((value, i) => i < frozen && value !== Math.fround(i / ALL))).toBe(-1);
      // Models moved by 1, 2 and 3 steps weigh 1, 2 and 4 in their average.
      const moved = (1 * 1 + 2 * 2 + 4 * 3) / 7;
      expect(values[frozen]).toBeCloseTo(frozen / ALL + moved * 1e-4, 6);
      expect(values[ALL - 1]).toBeCloseTo((ALL - 1) / ALL + moved * 1e-4, 6);
      const sent = (await receiptsFile(home.receiptsFile).list()).filter(
        ({ kind, round, state }) =>
          ["contribution", "masked-vector"].includes(kind) && round === 1 && state === "accepted",
      );
      expect(sent).toHaveLength(1);
      // A tail, a seal, a header: with what beside the update travels it is still far from the whole model.
      expect(sent[0]?.bytes).toBeGreaterThan(4 * TRAINED);
      expect(sent[0]?.bytes).toBeLessThan(4 * ALL);
    }
    const response = await fetch(`${running.coordinator.url}/api/federations`, {
      headers: { authorization: `Bearer ${running.coordinator.operatorToken}` },
    });
    const [status] = z.array(federationStatusSchema).parse(await response.json());
    expect(status).toMatchObject({ parameters: ALL, updateParameters: TRAINED });
    const note = runs[0]?.reports.find(({ note }) => note?.includes("are trained") === true)?.note;
    expect(note).toContain("0.00 of 0.01 million weights are trained and travel");
  });
});

it("a masked federation of low rank sends factors, and ends with a model that has their product in it", async () => {
  const lowRank = { rank: 1, alpha: 4 };
  const sent = 100 + 5_000 + 100 + 100 + 100;
  const plan = {
    rounds: 2,
    minSites: 3,
    start: START,
    training: { warmupRounds: 0, lowRank },
    aggregation: { secure: "masked" as const },
    // What beside the update travels is larger than this one.
    health: null,
  };
  const startFrom = [{ sha256: START.sha256, bytes: 4, read: file }];
  const running = (federation = await TestFederation.start(plan, { startFrom }));
  const sites = [await running.site("a"), await running.site("b"), await running.site("c")];
  await Promise.all(sites.map((site) => site.run(freezing(1e-4, sent)).result));
  const drawn = drawFactor({ seed: 1, ...lowRank }, "blocks.0.mlp.fc1.weight", 60);
  for (const { home } of sites) {
    const { values, manifest } = await readModel(home, "global");
    expect(manifest).toEqual(MANIFEST);
    expect(values[0]).toBeCloseTo(2e-4, 6);
    for (const row of [0, 1, 59]) {
      const at = 5_100 + 100 * row + 7;
      expect(values[at]).toBeCloseTo(at / ALL + 2e-4 * (drawn[row] ?? NaN), 6);
    }
    const [vector] = (await receiptsFile(home.receiptsFile).list()).filter(
      ({ kind, round, state }) => kind === "masked-vector" && round === 1 && state === "accepted",
    );
    expect(vector?.bytes).toBeGreaterThan(4 * sent);
    expect(vector?.bytes).toBeLessThan(4 * (ALL - 6_000));
  }
});

it("a site believes no global model whose frozen layers have changed", () => {
  const values = Float32Array.from({ length: ALL }, (_, i) => i / ALL);
  const model = new SiteModel(
    { manifest: MANIFEST, values },
    parsePlan({ federation: "lungs", title: "Lungs", rounds: 3, start: START, training }),
  );
  const changed = (at: number): Uint8Array => {
    const other = Float32Array.from(values);
    other[at] = 7;
    return encodeCheckpoint({ manifest: MANIFEST, values: other });
  };
  expect(model.decode(changed(ALL - 1))[ALL - 1]).toBe(7);
  for (const at of [0, 99, 100, ALL - TRAINED - 1]) {
    expect(() => model.decode(changed(at))).toThrow(
      expect.objectContaining({ code: "genesis.mismatch" }) as Error,
    );
  }
});
