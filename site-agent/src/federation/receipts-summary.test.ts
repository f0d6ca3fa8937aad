import { sha256 } from "@consilium/shared/canonical";
import type { FederationId } from "@consilium/shared/ids";
import { expect, it } from "vitest";
import type { Receipt } from "./receipts.ts";
import { byWhat, summariseReceipts } from "./receipts-summary.ts";

let hours = 0;
function receipt(kind: Receipt["kind"], round: number, state: Receipt["state"], bytes: number): Receipt {
  const at = new Date(Date.UTC(2026, 0, 1, hours++)).toISOString();
  const attempt = kind === "hello" ? 0 : 1;
  const federation = "lungs" as FederationId;
  return { at, federation, kind, state, round, attempt, bytes, sha256: sha256(`${kind} ${round}`) };
}

const both = (kind: Receipt["kind"], round: number, bytes: number): Receipt[] => [
  receipt(kind, round, "sending", bytes),
  receipt(kind, round, "accepted", bytes),
];

it("adds up what left by what it says and by round, with the trial after the last one apart", () => {
  const summary = summariseReceipts(
    [
      ...both("hello", 0, 50),
      ...both("masked-vector", 0, 600),
      receipt("masked-vector", 1, "sending", 1000),
      receipt("masked-vector", 1, "interrupted", 400),
      ...both("masked-vector", 1, 1000),
      ...both("masking-keys", 1, 90),
      ...both("masked-vector", 2, 1000),
    ],
    { rounds: 1 },
  );
  expect(summary.totals).toEqual([
    { what: "who, when", round: "outside rounds", objects: 1, bytes: 50 },
    { what: "what images are like", round: "before round 1", objects: 1, bytes: 600 },
    { what: "weight updates", round: "round 1 of 1", objects: 1, bytes: 1400 },
    { what: "keys and shares", round: "round 1 of 1", objects: 1, bytes: 90 },
    { what: "weight updates", round: "trying the last model", objects: 1, bytes: 1000 },
  ]);
  expect(byWhat(summary)[0]).toEqual({ what: "weight updates", objects: 2, bytes: 2400 });
  expect(summary.bytes).toBe(3140);
});

it("tells apart what was refused, and what was begun and has no outcome", () => {
  const summary = summariseReceipts(
    [
      receipt("hello", 0, "sending", 50),
      receipt("hello", 0, "refused", 50),
      receipt("metrics", 3, "sending", 70),
    ],
    { rounds: 3 },
  );
  expect(summary).toMatchObject({
    objects: 0,
    refused: { objects: 1, bytes: 50 },
    unsettled: { objects: 1, bytes: 70 },
  });
});
