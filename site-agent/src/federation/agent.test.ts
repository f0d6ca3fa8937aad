/** Agents against a real coordinator on 127.0.0.1, under everything that a network and an operator do to them. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { createIdentity } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import type { SiteId } from "@consilium/shared/ids";
import type { PlanInput } from "@consilium/shared/plan";
import { parseToken } from "@consilium/shared/protocol/token";
import { afterEach, describe, expect, it } from "vitest";
import { startCaptureProxy, type CaptureProxy } from "../../../test/support/capture-proxy.ts";
import {
  arithmeticTrainer,
  random,
  TestFederation,
  type TestSite,
} from "../../../test/support/federation.ts";
import { readModel } from "../home/models.ts";
import { privacyLedger } from "../privacy/ledger.ts";
import { DEFAULT_POLICY, writePrivacyPolicy } from "../privacy/policy.ts";
import { writeToyCache } from "../training/testing/toy.ts";
import { enrol } from "./enrol.ts";
import { receiptsFile } from "./receipts.ts";

let federation: TestFederation | null = null;
let proxy: CaptureProxy | null = null;

afterEach(async () => {
  await proxy?.close();
  await federation?.close();
  federation = proxy = null;
});

const start = async (plan: {
  rounds: number;
  minSites: number;
  privacy?: PlanInput["privacy"];
}): Promise<TestFederation> => (federation = await TestFederation.start(plan));

const joined = (...names: readonly string[]): Promise<TestSite[]> =>
  Promise.all(names.map((name) => running().site(name)));

function running(): TestFederation {
  if (federation === null) throw new Error("start the federation first");
  return federation;
}

const receiptsOf = ({ home }: TestSite) => receiptsFile(home.receiptsFile).list();

/** Sealed bytes that lie in a site's outbox. */
const sealedOf = ({ home }: TestSite) => readFile(path.join(home.federationFolder, "outbox", "sealed.bin"));

/** 4 MB: sixteen of the chunks that a site begins with. */
const MANY_ELEMENTS = 1_000_000;

describe("a federation of two sites", () => {
  it("ends with the same averaged model at both, and with a receipt for all that left", async () => {
    const { plan } = await start({ rounds: 3, minSites: 2 });
    const sites = await joined("a", "b");
    const trainers = [arithmeticTrainer(1), arithmeticTrainer(3)];
    const runs = sites.map((site, i) => site.run(trainers[i] ?? arithmeticTrainer(0)));
    const results = await Promise.all(runs.map(({ result }) => result));
    expect(results.map(({ contributions, rounds }) => ({ contributions, rounds }))).toEqual(
      Array(2).fill({ contributions: 3, rounds: plan.rounds }),
    );
    for (const site of sites) {
      const { values } = await readModel(site.home, "global");
      // Both have ten examples, so each round adds the mean of 1 and 3.
      expect(values[500]).toBeCloseTo(0.5 + 3 * 2, 5);
      const receipts = (await receiptsOf(site)).filter(({ kind }) => kind === "contribution");
      expect(receipts.map(({ round, state }) => `${round} ${state}`)).toEqual([
        "1 sending",
        "1 accepted",
        "2 sending",
        "2 accepted",
        "3 sending",
        "3 accepted",
      ]);
    }
    // Moments stay at the site and go from round to round.
    expect(trainers[0]?.begun.map(({ optimizerStep }) => optimizerStep)).toEqual([null, 1, 2]);
  });

  it("survives a coordinator that is stopped while they train", async () => {
    await start({ rounds: 2, minSites: 2 });
    const sites = await joined("a", "b");
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const trainers = sites.map(() =>
      arithmeticTrainer(1, 1000, ({ round }) => (round === 2 ? gate : Promise.resolve())),
    );
    const runs = sites.map((site, i) => site.run(trainers[i] ?? arithmeticTrainer(0)));
    await Promise.all(
      runs.map((run) => run.waitFor(({ phase, round }) => phase === "training" && round === 2)),
    );
    await running().restartCoordinator();
    release();
    await Promise.all(runs.map(({ result }) => result));
    // Nobody trained a round twice: the restarted coordinator went on with the round that was open.
    for (const { begun } of trainers) expect(begun.map(({ round }) => round)).toEqual([1, 2]);
  });
});

describe("an upload that is cut", () => {
  it("goes on where it stopped, with the chunks that are missing", async () => {
    const { port } = await start({ rounds: 1, minSites: 1 });
    proxy = await startCaptureProxy(port);
    const site = await running().site("a", proxy.url);
    let cuts = 0;
    let isWhole = true;
    const run = site.run(arithmeticTrainer(1, MANY_ELEMENTS), {
      onReport({ phase, done, total }) {
        if (phase === "connecting") isWhole = true;
        if (phase !== "genesis" || done === total || done === 0 || !isWhole || cuts === 2) return;
        isWhole = false;
        cuts += 1;
        proxy?.cut();
      },
    });
    const { sentBytes } = await run.result;
    expect(cuts).toBe(2);
    const interrupted = (await receiptsOf(site)).filter(({ state }) => state === "interrupted");
    expect(interrupted).toHaveLength(2);
    // Whatever was acknowledged was not sent again: initial model and update, once each.
    expect(sentBytes).toBeLessThanOrEqual(2 * (4 * MANY_ELEMENTS + 1000));
  });

  it("sends the same bytes after the agent was stopped and started, without training again", async () => {
    await start({ rounds: 1, minSites: 1 });
    const site = await running().site("a");
    const first = site.run(arithmeticTrainer(1, MANY_ELEMENTS), {
      onReport({ phase, done, total }, stop) {
        if (phase === "uploading" && done < total) stop.abort();
      },
    });
    await expect(first.result).rejects.toMatchObject({ name: "AbortError" });
    const sealed = await sealedOf(site);

    const again: Promise<Buffer>[] = [];
    const trainer = arithmeticTrainer(1, MANY_ELEMENTS);
    const second = site.run(trainer, {
      onReport({ phase }) {
        if (phase === "uploading") again.push(sealedOf(site));
      },
    });
    await second.result;
    expect((await again[0])?.equals(sealed)).toBe(true);
    expect(trainer.begun).toEqual([]);
    const contributions = (await receiptsOf(site)).filter(({ kind }) => kind === "contribution");
    expect(new Set(contributions.map(({ sha256 }) => sha256)).size).toBe(1);
    expect(contributions.at(-1)?.state).toBe("accepted");
  });
});

it("trains a round again that was not finished when the agent stopped", async () => {
  await start({ rounds: 1, minSites: 1 });
  const site = await running().site("a");
  const forever = arithmeticTrainer(
    1,
    1000,
    (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          reject(new DOMException("", "AbortError"));
        });
      }),
  );
  const first = site.run(forever);
  await first.waitFor(({ phase }) => phase === "training");
  await first.stop();
  const trainer = arithmeticTrainer(1);
  await site.run(trainer).result;
  expect(trainer.begun).toEqual([{ round: 1, optimizerStep: null }]);
});

describe("who can be believed", () => {
  it("a coordinator without the pinned key is refused", async () => {
    await start({ rounds: 1, minSites: 1 });
    const site = await running().site("a");
    const { result } = site.run(arithmeticTrainer(1), { pinned: createIdentity(random).public });
    await expect(result).rejects.toMatchObject({ code: "crypto.bad-signature" });
    expect(new Set((await receiptsOf(site)).map(({ kind }) => kind))).toEqual(new Set(["session"]));
  });

  it("a site that derives another initial model is refused", async () => {
    await start({ rounds: 1, minSites: 2 });
    const [a, b] = await Promise.all([running().site("a"), running().site("b")]);
    const waiting = a.run(arithmeticTrainer(1, 1000));
    await waiting.waitFor(({ phase, done, total }) => phase === "genesis" && total > 0 && done === total);
    await waiting.waitFor(({ phase }) => phase === "waiting");
    await expect(b.run(arithmeticTrainer(1, 1001)).result).rejects.toBeInstanceOf(ConsiliumError);
    await waiting.stop();
  });

  it("a token serves one site once", async () => {
    await start({ rounds: 1, minSites: 1 });
    const token = parseToken(await running().invite("a"));
    const coordinatorUrl = `${running().coordinator.url}/`;
    const { signal } = new AbortController();
    const join = () =>
      enrol({
        site: "a" as SiteId,
        identity: createIdentity(random),
        coordinatorUrl,
        token,
        fetch,
        signal,
      }).send();
    await join();
    await expect(join()).rejects.toMatchObject({ code: "enrolment.token-used" });
  });

  it("training ends where the site's privacy is spent, with each round paid before it began", async () => {
    await start({ rounds: 5, minSites: 1, privacy: { unit: "patient", noiseMultiplier: 1 } });
    const site = await running().site("a");
    await writeToyCache(site.home.cacheFolder("train"), 64);
    await writePrivacyPolicy(site.home.privacyPolicyFile, { ...DEFAULT_POLICY, maxEpsilon: 6.5 });
    const ledger = privacyLedger(site.home.privacyLedgerFile);
    const paidBefore: number[] = [];
    const trainer = arithmeticTrainer(1, 1000, async ({ privacy }) => {
      expect(privacy).toMatchObject({ patients: 64, noiseMultiplier: 1, stepsPerRound: 2 });
      paidBefore.push((await ledger.payments()).length);
    });
    await expect(site.run(trainer).result).rejects.toMatchObject({ code: "privacy.budget-spent" });
    const rounds = trainer.begun.map(({ round }) => round);
    expect(rounds.length).toBeGreaterThan(0);
    expect(rounds.length).toBeLessThan(5);
    expect(paidBefore).toEqual(rounds);
    expect((await ledger.payments()).map(({ round }) => round)).toEqual(rounds);
  });

  it("weights that are not finite do not leave", async () => {
    await start({ rounds: 1, minSites: 1 });
    const site = await running().site("a");
    await expect(site.run(arithmeticTrainer(NaN)).result).rejects.toMatchObject({
      code: "vector.not-finite",
    });
    expect((await receiptsOf(site)).some(({ kind }) => kind === "contribution")).toBe(false);
  });
});
