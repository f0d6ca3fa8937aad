/** The fingerprints of a masked federation, added up before round 1 by real agents and a real coordinator. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import {
  emptyCounts,
  encodeFingerprint,
  fingerprintFrom,
  sumOfFingerprints,
} from "@consilium/shared/fingerprint/histogram";
import { binsOf, GROUPS } from "@consilium/shared/fingerprint/layout";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import { endorse } from "../../../test/support/endorse.ts";
import { afterEach, describe, expect, it } from "vitest";
import {
  arithmeticTrainer,
  isMaskedFrame,
  TestFederation,
  type AgentRun,
  type TestSite,
} from "../../../test/support/federation.ts";
import type { AgentReport } from "./agent-report.ts";
import type { AgentPhase } from "./phase.ts";
import { cohortFile } from "./cohort-file.ts";
import { receiptsFile } from "./receipts.ts";

let federation: TestFederation | null = null;
afterEach(async () => {
  await federation?.close();
  federation = null;
});

const NAMES = ["a", "b", "c"] as const;

async function start(rounds = 1): Promise<{ running: TestFederation; sites: TestSite[] }> {
  const running = await TestFederation.start({ rounds, minSites: 3, aggregation: { examplesCap: 64 } });
  federation = running;
  return { running, sites: await Promise.all(NAMES.map((name) => running.site(name))) };
}

/** Like no other site's in its numbers, so that a copy of it would be found; all of one part of the body. */
function imagesOf(bodyPart: number, seed: number): Uint32Array {
  const counts = emptyCounts();
  counts.modality[0] = 1;
  counts.bodyPart[bodyPart] = 1;
  for (let i = 0; i < counts.intensity.length; i++) counts.intensity[i] = 100 + ((seed * 37 + i * 11) % 13);
  return fingerprintFrom(counts);
}
const FINGERPRINTS = [imagesOf(2, 1), imagesOf(2, 2), imagesOf(8, 3)];
const SUM = sumOfFingerprints(FINGERPRINTS);

const fingerprintOf = (site: number): Uint32Array => FINGERPRINTS[site] ?? new Uint32Array(0);
const run = (
  site: TestSite,
  i: number,
  onReport?: (report: AgentReport, stop: AbortController) => void,
): AgentRun =>
  site.run(arithmeticTrainer(1e-5), { fingerprint: fingerprintOf(i), ...(onReport && { onReport }) });

const statusOf = ({ coordinator }: TestFederation): FederationStatus =>
  coordinator.federations.get("lungs").status();
const verdicts = (running: TestFederation): Record<string, string> =>
  Object.fromEntries(statusOf(running).images.map(({ site, verdict }) => [site, verdict]));
const cohortOf = ({ coordinator }: TestFederation) => {
  const cohort = coordinator.federations.get("lungs").images.cohort();
  if (!("record" in cohort)) throw new Error("the plan masks");
  return cohort;
};
const KNEES = "body part unlike the others (1.00)";

/** A site's histograms, each as it might lie somewhere: its shares as little-endian words, or as text. */
function copiesOf(vector: Uint32Array): Buffer[] {
  const distinct = GROUPS.filter(({ name }) => name === "intensity").map((group) => binsOf(vector, group));
  return distinct.flatMap((bins) => [
    Buffer.from(encodeFingerprint(bins)),
    Buffer.from([...bins].slice(0, 6).join(",")),
  ]);
}

/** What lies below a folder; a file that goes meanwhile is not there. */
function filesOf(folder: string): Buffer[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).flatMap((name) => {
    try {
      return [readFileSync(path.join(folder, name))];
    } catch (error) {
      if (error instanceof Error && "code" in error && ["ENOENT", "EISDIR"].includes(String(error.code)))
        return [];
      throw error;
    }
  });
}

const coordinatorOf = ({ folder }: TestFederation): string => path.join(folder, "coordinator");
const vectorsAt = (running: TestFederation): number =>
  filesOf(coordinatorOf(running)).filter(isMaskedFrame).length;

function filesWithFingerprint(folder: string): number {
  const copies = FINGERPRINTS.flatMap(copiesOf);
  return filesOf(folder).filter((bytes) => copies.some((copy) => bytes.includes(copy))).length;
}

function assertNoFingerprint(running: TestFederation): void {
  expect(filesOf(coordinatorOf(running)).length).toBeGreaterThan(3);
  expect(filesWithFingerprint(coordinatorOf(running))).toBe(0);
}

describe("before round 1 of a masked federation", () => {
  it("the coordinator learns the exact sum and each site's distance, and its disk holds no single fingerprint", async () => {
    const { running, sites } = await start();
    let lookAtLast: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (lookAtLast = resolve));
    const told: number[] = [];
    const runs = sites.map((site, i) => {
      const one = site.run(
        // A round waits for its training, so what is known when it begins was known before.
        arithmeticTrainer(1e-5, 1000, async () => {
          await one.waitFor(() => one.cohorts.length > 0);
          told.push(one.cohorts.length);
        }),
        { fingerprint: () => (i === 2 ? gate : Promise.resolve()).then(() => fingerprintOf(i)) },
      );
      return one;
    });
    // Two vectors are there, and the third is not: what a curious coordinator could hope for.
    while (vectorsAt(running) < 2) await new Promise((resolve) => setTimeout(resolve, 20));
    assertNoFingerprint(running);
    lookAtLast();
    await Promise.all(runs.map(({ result }) => result));
    assertNoFingerprint(running);
    expect(told).toEqual([1, 1, 1]);
    const { record } = cohortOf(running);
    expect(record?.body).toMatchObject({ attempt: 1, sites: NAMES, sum: Array.from(SUM) });
    expect(runs.map(({ cohorts }) => cohorts.map(({ comparison }) => comparison?.unlike))).toEqual([
      [[]],
      [[]],
      [["bodyPart"]],
    ]);
    expect(verdicts(running)).toEqual({ a: "like the others", b: "like the others", c: KNEES });
    const { history, sites: known, cohort } = statusOf(running);
    expect(history.map(({ round }) => round)).toEqual([1]);
    expect(known.map(({ contributions }) => contributions)).toEqual([1, 1, 1]);
    expect(cohort.groups?.find(({ name }) => name === "bodyPart")?.shares.at(8)).toEqual({
      bin: "lower limb",
      share: 1 / 3,
    });
    for (const { home } of sites) {
      const left = await receiptsFile(home.receiptsFile).list();
      expect(left.filter(({ kind }) => kind === "fingerprint")).toEqual([]);
      const states = left.filter(({ kind }) => kind === "image-distances").map(({ state }) => state);
      expect(states).toEqual(["sending", "accepted"]);
      expect((await cohortFile(home.federationFolder).seen())?.sites).toBe(3);
      // The same search finds the site's own copy at once.
      expect(filesWithFingerprint(home.federationFolder)).toBe(1);
    }
  });

  it("goes on whichever step a site is killed in, and the coordinator with it, and the sum stays exact", async () => {
    const STOPS: readonly AgentPhase[] = [
      "advertising",
      "fingerprinting",
      "uploading",
      "voting",
      "releasing",
    ];
    const { running, sites } = await start();
    const [a, b, c] = sites as [TestSite, TestSite, TestSite];
    const others = [run(a, 0), run(c, 2)];
    let restarting: Promise<void> = Promise.resolve();
    for (const [i, phase] of STOPS.entries()) {
      const life = run(b, 1, (report, stop) => {
        if (report.phase !== phase || report.round !== 0 || stop.signal.aborted) return;
        stop.abort();
        if (i % 2 === 0) restarting = running.restartCoordinator();
      });
      // It need not be asked for its release: two of three are enough.
      await Promise.race([life.result.catch(() => undefined), life.waitFor(({ round }) => round === 1)]);
      await life.stop();
      await restarting;
    }
    const last = run(b, 1);
    await Promise.all([...others, last].map(({ result }) => result));
    expect(cohortOf(running).record?.body.sum).toEqual(Array.from(SUM));
    expect(verdicts(running)).toMatchObject({ b: "like the others", c: KNEES });
  }, 60_000);

  it("a site that joins later compares itself with the stored sum, of which it is no part", async () => {
    const { running, sites } = await start(2);
    let late: Promise<AgentRun> | null = null;
    let mayEnd: () => void = () => undefined;
    const compared = new Promise<void>((resolve) => (mayEnd = resolve));
    const runs = sites.map((site, i) =>
      site.run(
        arithmeticTrainer(1e-5, 1000, async ({ round }) => {
          if (round !== 2) return;
          late ??= running.site("d").then(async (joined) => {
            for (const member of sites.slice(0, 2)) await endorse(member, "d");
            const newcomer = joined.run(arithmeticTrainer(1e-5), { fingerprint: imagesOf(4, 9) });
            void newcomer.waitFor(() => newcomer.cohorts.length > 0).then(mayEnd);
            return newcomer;
          });
          await compared;
        }),
        { fingerprint: fingerprintOf(i) },
      ),
    );
    await Promise.all(runs.map(({ result }) => result));
    const newcomer = await (late as unknown as Promise<AgentRun>);
    await newcomer.result;
    expect(newcomer.cohorts.map(({ sites: known, comparison }) => [known, comparison?.unlike])).toEqual([
      [3, ["bodyPart"]],
    ]);
    expect(verdicts(running)).toMatchObject({ a: "like the others", d: KNEES });
  });

  it("a site without a sum to look at says so, and the federation trains all the same", async () => {
    const { running, sites } = await start();
    const losing = running.loseVectorsOnRelease(0);
    const runs = sites.map((site, i) => run(site, i));
    await Promise.all(runs.map(({ result }) => result));
    await losing;
    const { record, givenUp } = cohortOf(running);
    expect(record).toBeNull();
    expect(givenUp).not.toBeNull();
    expect(statusOf(running)).toMatchObject({
      phase: "finished",
      images: [],
      cohort: { groups: null, givenUp },
    });
    for (const { cohorts } of runs) expect(cohorts).toEqual([{ sites: 0, comparison: null, givenUp }]);
    for (const { home } of sites) {
      const sums = (await receiptsFile(home.receiptsFile).list()).filter(
        ({ kind }) => kind === "masked-vector",
      );
      // One of the images, and one of the update; no second one of the images.
      expect(sums.map(({ round, attempt }) => [round, attempt])).toEqual([
        [0, 1],
        [0, 1],
        [1, 1],
        [1, 1],
      ]);
    }
  });
});
