/** A coordinator in a folder of its own for tests, and a small model for it to average. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { encodeCheckpoint } from "@consilium/shared/codec";
import { vectorLength, type Manifest } from "@consilium/shared/manifest";
import { parsePlan, type Plan, type PlanInput } from "@consilium/shared/plan";
import { startCoordinator, type Coordinator, type CoordinatorOptions } from "../app.ts";
import { FakeSite, type FakeModel } from "./fake-site.ts";

export const manifest: Manifest = {
  tensors: [
    { name: "patch_embed.proj.weight", shape: [16, 1, 4, 4], dtype: "float32" },
    { name: "blocks.0.attn.qkv.weight", shape: [33, 17], dtype: "float32" },
    { name: "norm.bias", shape: [5], dtype: "float32" },
  ],
};

/** Deterministic numbers in [0, 1): mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function smallModel(seed = 1): FakeModel {
  const next = seeded(seed);
  const values = Float32Array.from({ length: vectorLength(manifest) }, () => next() - 0.5);
  return { manifest, genesis: encodeCheckpoint({ manifest, values }) };
}

export function testPlan(change: Partial<PlanInput> = {}): Plan {
  const aggregation = { secure: "plain" } as const;
  return parsePlan({ federation: "chest", title: "Test", rounds: 3, minSites: 2, aggregation, ...change });
}

/** Homes and coordinators of one test, ended together. */
export class Bench {
  readonly #folders: string[] = [];
  readonly #coordinators = new Set<Coordinator>();
  readonly #sites: FakeSite[] = [];

  async home(): Promise<string> {
    const folder = await mkdtemp(path.join(tmpdir(), "consilium-coordinator-"));
    this.#folders.push(folder);
    return folder;
  }

  async start(options: Partial<CoordinatorOptions> & { home: string }): Promise<Coordinator> {
    const coordinator = await startCoordinator({
      host: "127.0.0.1",
      port: 0,
      gatherMs: 0,
      plan: testPlan(),
      ...options,
    });
    this.#coordinators.add(coordinator);
    return coordinator;
  }

  async stop(coordinator: Coordinator): Promise<void> {
    this.#coordinators.delete(coordinator);
    await coordinator.close();
  }

  /** Invited and enrolled, not connected. */
  async site(
    coordinator: Coordinator,
    name: string,
    { model = smallModel(), examples = 10 }: { model?: FakeModel; examples?: number } = {},
  ): Promise<FakeSite> {
    const site = new FakeSite(name, coordinator.url, model, examples);
    this.#sites.push(site);
    await site.enrol(await inviteSite(coordinator, name));
    return site;
  }

  async end(): Promise<void> {
    for (const site of this.#sites) site.disconnect();
    for (const coordinator of this.#coordinators) await coordinator.close();
    for (const folder of this.#folders) await rm(folder, { recursive: true, force: true });
  }
}

export async function inviteSite(
  coordinator: Pick<Coordinator, "url" | "operatorToken">,
  site: string,
): Promise<string> {
  const response = await fetch(`${coordinator.url}/api/federations/chest/invitations`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${coordinator.operatorToken}`,
    },
    body: JSON.stringify({ site }),
  });
  const { token } = (await response.json()) as { token: string };
  return token;
}
