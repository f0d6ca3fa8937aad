/** Agents against a real coordinator: what a site decides, whatever the plan and the coordinator say. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import type { SiteId } from "@consilium/shared/ids";
import { planHash } from "@consilium/shared/plan";
import { endorse } from "../../../test/support/endorse.ts";
import { afterEach, describe, expect, it } from "vitest";
import {
  arithmeticTrainer,
  random,
  TestFederation,
  type AgentRun,
  type TestSite,
} from "../../../test/support/federation.ts";
import { runInProcess } from "../cli/testing/run-in-process.ts";
import { nextStep } from "../cli/next-step.ts";
import { receiptsFile } from "../federation/receipts.ts";
import { parseHours } from "./hours.ts";
import { pinsFile } from "./pins.ts";

let federation: TestFederation | null = null;
afterEach(async () => {
  await federation?.close();
  federation = null;
});

const start = async (rounds: number, minSites: number): Promise<TestFederation> =>
  (federation = await TestFederation.start({ rounds, minSites }));
const running = (): TestFederation => {
  if (federation === null) throw new Error("start the federation first");
  return federation;
};
const status = () => running().coordinator.federations.get("lungs").status();
const decide = ({ home }: TestSite, decision: "approved" | "refused") =>
  receiptsFile(home.receiptsFile).add({
    at: new Date().toISOString(),
    kind: "plan",
    decision,
    sha256: planHash(running().plan),
  });
const says = (run: AgentRun, text: string) => run.waitFor(({ note }) => note?.includes(text) === true);

describe("a plan", () => {
  it("waits until someone at the site approves it, and the coordinator sees where", async () => {
    const { plan } = await start(1, 1);
    const site = await running().site("hospital-b", undefined, { planApproval: "by-hand" });
    const trainer = arithmeticTrainer(1);
    const run = site.run(trainer);
    await says(run, `consilium-site plan approve ${planHash(plan).slice(0, 12)}`);
    await expect.poll(() => status().summary).toContain("Waiting for approval of the plan at hospital-b.");
    expect(status().sites[0]).toMatchObject({ connected: false, hold: { reason: "plan-approval" } });
    expect(trainer.begun).toEqual([]);
    const kinds = (await receiptsFile(site.home.receiptsFile).list()).map(({ kind }) => kind);
    // Nothing that follows from an image has left: neither a fingerprint nor a number of images.
    expect(new Set(kinds)).toEqual(new Set(["session", "hold"]));
    await decide(site, "approved");
    await run.result;
    expect(status().sites[0]?.hold).toBeNull();
  });
});

it("outside its hours a site lets no round wait for it, says until when, and trains when they begin", async () => {
  await start(1, 1);
  const hours = parseHours("mon-sun 18:00-07:00", "Europe/Berlin");
  const site = await running().site("a", undefined, { hours });
  let nowMs = Date.parse("2026-01-06T10:00:00Z");
  const run = site.run(arithmeticTrainer(1), { nowMs: () => nowMs });
  const { note } = await says(run, "outside the hours of work");
  expect(note).toContain("until 6 Jan 2026, 18:00");
  await expect.poll(() => status().sites[0]?.hold?.until).toBe("2026-01-06T17:00:00.000Z");
  nowMs = Date.parse("2026-01-06T17:00:00Z");
  await run.result;
});

/** The last line that a command prints with --json: its result, or its error. */
async function cli({ home }: TestSite, ...args: readonly string[]): Promise<Record<string, unknown>> {
  const { stdout } = await runInProcess([...args, "--home", home.folder, "--json"], {
    userHome: home.folder,
    random,
    sleep: () => Promise.resolve(),
  });
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as Record<string, unknown>;
}

/** A training that ends with the agent. */
const never = (_: unknown, signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => {
      reject(new DOMException("", "AbortError"));
    });
  });

describe("a site that enrols after training has begun", () => {
  it("waits until most of the others have signed for it, and then takes part", async () => {
    await start(3, 2);
    const [a, b] = await Promise.all([running().site("a"), running().site("b")]);
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const news: string[] = [];
    const runs = [a, b].map((site) =>
      site.run(
        arithmeticTrainer(1, 1000, ({ round }) => (round === 1 ? gate : Promise.resolve())),
        { onRoster: ({ added }) => news.push(...added.map((one) => one.site)) },
      ),
    );
    await Promise.all(runs.map((run) => run.waitFor(({ phase }) => phase === "training")));
    const late = await running().site("c");
    const run = late.run(arithmeticTrainer(1));
    await says(run, "not on the roster yet");
    expect(status().summary).toContain("c waits to be on the roster: 0 of 2 sites have approved it.");
    expect(await endorse(a, "c")).toMatchObject({ endorsements: 1, needed: 2, added: false });
    expect(await endorse(a, "c")).toMatchObject({ endorsements: 1, added: false });
    expect(status().sites).toHaveLength(2);
    const shown = await cli(b, "roster");
    expect(shown).toMatchObject({
      members: [{ site: "a" }, { site: "b" }],
      candidates: [{ site: "c", endorsers: ["a"] }],
    });
    const approved = await cli(b, "roster", "approve", "c");
    expect(approved).toMatchObject({ endorsements: 2, added: true });
    expect(approved["words"]).toBe(status().sites.at(-1)?.words);
    expect(status().sites.map(({ site }) => site)).toEqual(["a", "b", "c"]);
    await run.waitFor(({ phase }) => phase === "waiting");
    release();
    await Promise.all([...runs, run].map(({ result }) => result));
    expect(status().history.at(-1)?.contributions).toHaveLength(3);
    // The sites verified the signatures themselves, and pinned the newcomer.
    expect(await pinsFile(a.home.rosterFile).read(status().federation)).toMatchObject({ version: 2 });
    expect(new Set(news)).toEqual(new Set(["a", "b", "c"]));
  });

  it("was removed by the operator, and needs signatures for its new key", async () => {
    await start(2, 1);
    const a = await running().site("a");
    const run = a.run(arithmeticTrainer(1, 1000, never));
    await run.waitFor(({ phase }) => phase === "training");
    const b = await running().site("b");
    await expect(endorse(b, "b")).rejects.toMatchObject({ code: "secagg.roster-changed" });
    await expect(endorse(a, "nobody")).rejects.toThrow("nobody to endorse");
    await endorse(a, "b");
    const removed = await remove("b" as SiteId);
    expect(removed).toEqual({ site: "b", version: 3 });
    expect(status().sites.map(({ site }) => site)).toEqual(["a"]);
    const log = await readFile(path.join(running().folder, "coordinator", "audit.jsonl"), "utf8");
    expect(log).toContain('"event":"site.removed"');
    await run.stop();
  });
});

async function remove(site: SiteId): Promise<unknown> {
  const { url, operatorToken } = running().coordinator;
  const response = await fetch(`${url}/api/federations/lungs/removals`, {
    method: "POST",
    headers: { authorization: `Bearer ${operatorToken}`, "content-type": "application/json" },
    body: JSON.stringify({ site }),
  });
  return response.json();
}

describe("the coordinator's audit log", () => {
  it("is countersigned by every site after every round", async () => {
    await start(3, 2);
    const sites = await Promise.all([running().site("a"), running().site("b")]);
    await Promise.all(sites.map((site) => site.run(arithmeticTrainer(1)).result));
    for (const { home } of sites) {
      const heads = (await readFile(home.auditHeadsFile, "utf8")).trim().split("\n");
      expect(heads.map((line) => (JSON.parse(line) as { round: number }).round)).toEqual([1, 2, 3]);
    }
    const log = await readFile(path.join(running().folder, "coordinator", "audit.jsonl"), "utf8");
    expect(log.match(/"event":"audit.signed"/g)).toHaveLength(3);
    expect(log.match(/"event":"audit.countersigned"/g)).toHaveLength(6);

    const [site] = sites;
    const copy = path.join(running().folder, "copy.jsonl");
    await writeFile(copy, log);
    expect(await cli(site, "audit", "verify", copy)).toMatchObject({ heads: 3 });
    expect(await cli(site, "receipts", "verify")).toMatchObject({ event: "result" });
    const left = await cli(site, "receipts", "summary", "--since", "2020-01-01");
    expect(left).toMatchObject({ event: "result", since: "2020-01-01T00:00:00.000Z" });
    expect(JSON.stringify(left)).toContain('"what":"weight updates","round":"round 3 of 3","objects":1');
    expect(await cli(site, "receipts", "summary", "--since", "yesterday")).toMatchObject({
      code: "config.invalid",
    });
    // Cut before the last head that this site has signed; and with a line that says something else.
    await writeFile(copy, log.slice(0, log.indexOf('"event":"audit.closed"')).replace(/[^\n]*$/, ""));
    expect(await cli(site, "audit", "verify", copy)).toMatchObject({ code: "audit.rewritten" });
    await writeFile(copy, log.replace("federation.created", "federation.forged"));
    expect(await cli(site, "audit", "verify", copy)).toMatchObject({ code: "audit.broken", culprits: ["1"] });
    const hash = planHash(running().plan);
    expect(await cli(site, "plan", "approve", hash, "--by", "Dr. Example")).toMatchObject({ planHash: hash });
    expect((await receiptsFile(site.home.receiptsFile).entries()).at(-1)).toMatchObject({
      decision: "approved",
      by: "Dr. Example",
    });
    expect(await nextStep(site.home, 3)).toBe("  next         consilium-site run");
    await cli(site, "plan", "refuse");
    expect(await nextStep(site.home, 3)).toContain("consilium-site plan");
    expect(await nextStep(site.home, 0)).toContain("no image was found");
    const record = await readFile(site.home.receiptsFile, "utf8");
    await writeFile(site.home.receiptsFile, record.replace('"kind":"hello"', '"kind":"hold"'));
    expect(await cli(site, "receipts", "verify")).toMatchObject({ code: "receipts.broken" });
  });

  it("cannot be rewritten: a site that signed another past stops", async () => {
    await start(2, 1);
    const site = await running().site("a");
    const file = site.home.auditHeadsFile;
    const trainer = arithmeticTrainer(1, 1000, async ({ round }) => {
      if (round !== 2) return;
      // As if the log had said something else in round 1.
      const head = JSON.parse(await readFile(file, "utf8")) as object;
      await writeFile(file, `${JSON.stringify({ ...head, hash: sha256("another past") })}\n`);
    });
    await expect(site.run(trainer).result).rejects.toMatchObject({ code: "audit.rewritten" });
  });
});
