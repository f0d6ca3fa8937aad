/**
 * What must hold of every federation, whatever happened to it. Nothing here asks the coordinator's own opinion but where
 * that opinion is what is checked: updates are recomputed, hashes taken from the files, and what was acknowledged is read
 * from the sites' receipts.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { parseLine, verifyChain, type AuditLine } from "@consilium/shared/audit/chain";
import { decodeCheckpoint, encodeCheckpoint } from "@consilium/shared/codec";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import { receiptsFile, type Receipt } from "../../site-agent/src/federation/receipts.ts";
import { ELEMENTS, examplesOf, genesisName, initialValues, MANIFEST, updateOf } from "./synthetic.ts";
import type { World } from "./world.ts";

/** Quantised sums differ from real ones by less than this; a lost update shows a thousand times as much. */
const MASKED_TOLERANCE = 1e-6;

/** @returns every broken invariant in words; none if all hold */
export async function check(world: World, seen: readonly FederationStatus[]): Promise<string[]> {
  const broken: string[] = [];
  const fail = (text: string): void => void broken.push(text);
  const text = await readFile(path.join(world.coordinatorHome, "audit.jsonl"), "utf8");
  const lines = text.trimEnd().split("\n");
  const chain = verifyChain(lines);
  if (!chain.ok) fail(`the audit log is broken at line ${chain.brokenAt}`);
  const audit = lines.flatMap((line) => parseLine(line) ?? []);
  const last = seen.at(-1);
  if (last?.phase !== "finished")
    fail(`the federation is ${last?.phase ?? "silent"}: ${last?.summary ?? ""}`);
  checkMonotonic(seen, audit, fail);
  await checkAcknowledged(world, audit, fail);
  await checkAggregates(world, audit, fail);
  if (last !== undefined) await checkStatus(world, last, audit, fail);
  checkFailures(world, fail);
  return broken;
}

type Fail = (text: string) => void;
type Data = Readonly<Record<string, unknown>>;
const of = (audit: readonly AuditLine[], ...events: readonly string[]): readonly Data[] =>
  audit.filter(({ event }) => events.includes(event)).map(({ data }) => data);
const place = ({ round, attempt }: Data | Receipt): string => `${Number(round)}.${Number(attempt)}`;

function checkMonotonic(seen: readonly FederationStatus[], audit: readonly AuditLine[], fail: Fail): void {
  let before = [0, 0];
  for (const data of of(audit, "round.opened")) {
    const now = [Number(data["round"]), Number(data["attempt"])];
    const [round = 0, attempt = 0] = now;
    const [lastRound = 0, lastAttempt = 0] = before;
    const isNext =
      (round === lastRound + 1 && attempt === 1) || (round === lastRound && attempt === lastAttempt + 1);
    if (!isNext) fail(`round ${place(data)} was opened after ${before.join(".")}`);
    before = now;
  }
  const rounds = of(audit, "round.aggregated").map(({ round }) => Number(round));
  if (rounds.some((round, i) => round !== i + 1))
    fail(`rounds were averaged in the order ${rounds.join(", ")}`);
  let shown = 0;
  for (const { round, attempt, phase } of seen) {
    const now = round * 1000 + attempt;
    if (now < shown) fail(`the status went back to round ${round}.${attempt} (${phase})`);
    shown = Math.max(shown, now);
  }
}

/** What a site was told is taken went into the sum, or is named with a reason. */
async function checkAcknowledged(world: World, audit: readonly AuditLine[], fail: Fail): Promise<void> {
  const accepted = [
    ...of(audit, "contribution.accepted").map((data) => ({ ...data, sha256: data["sealedSha256"] })),
    ...of(audit, "masking.answered").filter(({ step }) => step === "mask"),
  ] as readonly Data[];
  const dropped = of(audit, "contribution.dropped");
  const counted = new Map<string, number>();
  for (const data of accepted) {
    const key = `${place(data)} ${String(data["site"])}`;
    counted.set(key, (counted.get(key) ?? 0) + 1);
  }
  for (const data of dropped) {
    const key = `${place(data)} ${String(data["site"])}`;
    counted.set(key, (counted.get(key) ?? 0) - 1);
  }
  for (const [key, times] of counted) if (times > 1 || times < 0) fail(`${key} was counted ${times} times`);

  // What the images are like is summed in a round of its own, before the first.
  const summed = of(audit, "cohort.summed").map((data) => ({ ...data, round: 0 }));
  const aggregated: readonly Data[] = [...of(audit, "round.aggregated"), ...summed];
  const closed = of(audit, "round.closed", "round.abandoned");
  for (const { name, home } of world.sites) {
    const receipts = await receiptsFile(path.join(home, "receipts.jsonl"))
      .list()
      .catch((error: unknown) => {
        fail(`${name}: its receipts cannot be read (${String(error)})`);
        return [];
      });
    checkSameBytes(name, receipts, fail);
    for (const receipt of receipts) {
      const isUpdate = receipt.kind === "contribution" || receipt.kind === "masked-vector";
      if (!isUpdate || (receipt.state !== "accepted" && receipt.state !== "duplicate")) continue;
      const here = place(receipt);
      const same = (data: Data): boolean => place(data) === here;
      if (
        !accepted.some((data) => same(data) && data["site"] === name && data["sha256"] === receipt.sha256)
      ) {
        fail(`${name}: its update of ${here} was acknowledged and is not on record`);
        continue;
      }
      const inSum = aggregated.some((data) => same(data) && (data["sites"] as string[]).includes(name));
      const isNamed = [
        ...closed.flatMap((data) => (same(data) ? (data["excluded"] as Data[]) : [])),
        ...dropped.filter(same),
      ].some(({ site }) => site === name);
      const wasAbandoned = of(audit, "round.abandoned").some(same);
      if (!inSum && !isNamed && !wasAbandoned) fail(`${name}: its acknowledged update of ${here} is nowhere`);
    }
  }
}

/** A retry sends the same bytes: one mask covers one vector. */
function checkSameBytes(name: string, receipts: readonly Receipt[], fail: Fail): void {
  const first = new Map<string, string>();
  for (const receipt of receipts) {
    // How far a site is differs from run to run; it is no update.
    if (receipt.round === 0 || receipt.kind === "progress") continue;
    const key = `${receipt.kind} of ${place(receipt)}`;
    const before = first.get(key);
    if (before !== undefined && before !== receipt.sha256) fail(`${name}: another ${key} left than before`);
    first.set(key, receipt.sha256);
  }
}

async function checkAggregates(world: World, audit: readonly AuditLine[], fail: Fail): Promise<void> {
  let base = initialValues();
  let parent: string = genesisName();
  const genesis = of(audit, "genesis.stored");
  if (genesis.length !== 1 || genesis[0]?.["checkpoint"] !== parent) fail("the initial model is another");
  for (const data of of(audit, "round.aggregated")) {
    const round = Number(data["round"]);
    const name = String(data["checkpoint"]);
    const sites = data["sites"] as string[];
    if (data["parent"] !== parent) fail(`round ${round} does not start from the model before it`);
    if (new Set(sites).size !== sites.length) fail(`round ${round}: a site is in the sum twice`);
    const file = path.join(world.coordinatorHome, "blobs/sha256", name.slice(0, 2), name);
    const bytes = await readFile(file).catch(() => null);
    if (bytes === null || sha256(bytes) !== name) {
      fail(`round ${round}: the model is not the one that its name says`);
      return;
    }
    const { values } = decodeCheckpoint(new Uint8Array(bytes));
    const expected = average(base, sites, round);
    if (world.plan.aggregation.secure === "plain") {
      const exact = sha256(encodeCheckpoint({ manifest: MANIFEST, values: expected }));
      if (exact !== name) fail(`round ${round}: the average is not that of ${sites.join(", ")}`);
    } else {
      const off = expected.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - (values[i] ?? NaN))),
        0,
      );
      if (!(off <= MASKED_TOLERANCE)) fail(`round ${round}: the sum of ${sites.join(", ")} is off by ${off}`);
      if ((data["totals"] as Data)["clipped"] !== 0) fail(`round ${round}: elements were clipped`);
      const examples = sites.reduce((sum, site) => sum + examplesOf(site), 0);
      if ((data["totals"] as Data)["examples"] !== examples)
        fail(`round ${round}: the examples do not add up`);
    }
    base = values;
    parent = name;
  }
}

/** McMahan et al. 2017, algorithm 1, over sites in the order of their names. */
function average(base: Float32Array, sites: readonly string[], round: number): Float32Array {
  const total = sites.reduce((sum, site) => sum + examplesOf(site), 0);
  const mean = new Float64Array(ELEMENTS);
  for (const site of [...sites].sort()) {
    const weight = examplesOf(site) / total;
    for (const [i, value] of updateOf(site, round).entries()) mean[i] = (mean[i] ?? NaN) + weight * value;
  }
  // The mean is of float32, as it is of a masked sum.
  return base.map((value, i) => value + Math.fround(mean[i] ?? NaN));
}

async function checkStatus(
  world: World,
  status: FederationStatus,
  audit: readonly AuditLine[],
  fail: Fail,
): Promise<void> {
  const newest = of(audit, "round.aggregated").at(-1);
  if (status.checkpoint !== newest?.["checkpoint"]) fail("the status names another model than the log");
  if (status.round !== world.plan.rounds) fail(`the status says round ${status.round}`);
  for (const entry of status.history.filter(({ checkpoint }) => checkpoint !== null)) {
    const data = of(audit, "round.aggregated").find(
      (other) => place(other) === `${entry.round}.${entry.attempt}`,
    );
    const listed = entry.contributions.map(({ site }) => site).sort();
    if (JSON.stringify(listed) !== JSON.stringify([...(data?.["sites"] as string[])].sort())) {
      fail(`round ${entry.round}: the status lists ${listed.join(", ")}`);
    }
  }
  for (const { name, home, process } of world.sites) {
    if (process.ended?.code !== 0) {
      fail(
        `${name} has not ended well (${process.ended === null ? "it runs" : `code ${process.ended.code}`})`,
      );
      continue;
    }
    const model = await readFile(path.join(home, "models/global.ckpt")).catch(() => null);
    const values = model === null ? null : decodeCheckpoint(new Uint8Array(model));
    if (values === null || sha256(encodeCheckpoint(values)) !== status.checkpoint)
      fail(`${name} holds another model`);
  }
}

/** A full disk may end a program that is just starting; nothing else may. */
function checkFailures(world: World, fail: Fail): void {
  for (const { name, failures } of world.processes) {
    for (const lines of failures) {
      if (!lines.some((line) => line.includes("disk.full")))
        fail(`${name} ended with an error: ${lines.join(" | ")}`);
    }
  }
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
