import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import type { FederationId } from "@consilium/shared/ids";
import { parsePlan, planHash } from "@consilium/shared/plan";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { receiptsFile, type Receipts } from "../federation/receipts.ts";
import { DEFAULT_POLICY, type Policy } from "../policy.ts";
import { Gate } from "./gate.ts";
import { parseHours } from "./hours.ts";

const plan = parsePlan({ federation: "lungs", title: "Lungs", rounds: 3 });
const plain = parsePlan({ ...plan, aggregation: { ...plan.aggregation, secure: "plain" } });
const OPEN: Partial<Policy> = { planApproval: "automatic" };
const PARAMETERS = 1000;
const nowMs = Date.parse("2026-01-06T12:00:00Z");

let folder: string;
let receipts: Receipts;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-gate-"));
  receipts = receiptsFile(path.join(folder, "receipts.jsonl"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const gate = (policy: Partial<Policy>, about = plan): Gate =>
  new Gate(
    { policy: () => Promise.resolve({ ...DEFAULT_POLICY, ...policy }), receipts, nowMs: () => nowMs },
    about,
  );
const decide = (decision: "approved" | "refused", about = plan): Promise<void> =>
  receipts.add({ at: "2026-01-01T00:00:00.000Z", kind: "plan", decision, sha256: planHash(about) });

describe("a plan", () => {
  it("is not begun until a person has approved it, and the command is named", async () => {
    const text = expect.stringContaining(
      `consilium-site plan approve ${planHash(plan).slice(0, 12)}`,
    ) as string;
    expect(await gate({}).hold(PARAMETERS)).toEqual({ reason: "plan-approval", text, untilMs: null });
    await decide("approved");
    expect(await gate({}).hold(PARAMETERS)).toBeNull();
  });

  it("that has changed needs another approval", async () => {
    await decide("approved");
    const longer = parsePlan({ ...plan, rounds: 4 });
    expect(await gate({}, longer).hold(PARAMETERS)).toMatchObject({ reason: "plan-approval" });
  });

  it("needs none where its hash is listed, and only there", async () => {
    expect(await gate({ allowedPlans: [planHash(plan)] }).hold(PARAMETERS)).toBeNull();
    expect(await gate({ allowedPlans: [sha256("another")] }).hold(PARAMETERS)).not.toBeNull();
  });

  it("that was refused is refused, though it be listed, until someone approves it", async () => {
    await decide("refused");
    await expect(gate(OPEN).hold(PARAMETERS)).rejects.toMatchObject({ code: "plan.refused" });
    await decide("approved");
    expect(await gate({}).hold(PARAMETERS)).toBeNull();
  });
});

describe("no approval allows what the policy forbids", () => {
  it.each([
    ["policy.plain-refused", {}, plain],
    ["policy.cohort-too-small", { minCohort: 4 }, plan],
    ["policy.task-refused", { pretextTasks: ["simclr"] }, plan],
    ["policy.model-too-large", { maxParameters: PARAMETERS - 1 }, plan],
  ] as const)("%s", async (code, policy, about) => {
    await decide("approved", about);
    await expect(gate({ ...OPEN, ...policy }, about).hold(PARAMETERS)).rejects.toMatchObject({ code });
  });

  it("nor a round with fewer sites than the plan said", async () => {
    await expect(gate({ minCohort: 3 }).assertCohort(2)).rejects.toMatchObject({
      code: "policy.cohort-too-small",
    });
    await gate({ minCohort: 3 }).assertCohort(3);
  });
});

it("outside the hours nothing begins, and what is under way rests", async () => {
  const hours = parseHours("mon-sun 18:00-07:00", "UTC");
  const until = { reason: "hours", untilMs: Date.parse("2026-01-06T18:00:00Z") };
  expect(await gate({ ...OPEN, hours }).hold(PARAMETERS)).toMatchObject(until);
  expect(await gate({ hours }).pause()).toMatchObject(until);
  expect(await gate({ hours: parseHours("tue 11:00-13:00", "UTC") }).pause()).toBeNull();
});

describe("bytes a day", () => {
  const update = PARAMETERS * 4;
  const sent = (at: string, bytes: number, state: "accepted" | "sending" | "refused" = "accepted") =>
    receipts.add({
      at,
      federation: "lungs" as FederationId,
      kind: "masked-vector",
      state,
      round: 1,
      attempt: 1,
      bytes,
      sha256: sha256(at),
    });

  it("hold the next update back until enough of a day has passed", async () => {
    await sent("2026-01-05T11:00:00.000Z", 1e6); // More than a day ago.
    await sent("2026-01-05T18:00:00.000Z", update, "sending");
    await sent("2026-01-05T18:00:01.000Z", update);
    await sent("2026-01-06T06:00:00.000Z", update);
    await sent("2026-01-06T07:00:00.000Z", 1e6, "refused");
    expect(await gate({ ...OPEN, maxBytesPerDay: 3 * update }).hold(PARAMETERS)).toBeNull();
    expect(await gate({ ...OPEN, maxBytesPerDay: 2 * update }).hold(PARAMETERS)).toMatchObject({
      reason: "bytes",
      untilMs: Date.parse("2026-01-06T18:00:01Z"),
    });
  });

  it("that no update fits into say so", async () => {
    const hold = await gate({ ...OPEN, maxBytesPerDay: update - 1 }).hold(PARAMETERS);
    expect(hold).toMatchObject({ reason: "bytes", untilMs: null });
    expect(hold?.text).toContain("consilium-site policy --max-bytes-per-day");
  });
});
