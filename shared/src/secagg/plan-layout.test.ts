import { expect, it } from "vitest";
import { parsePlan } from "../plan.ts";
import { layoutHash } from "./layout.ts";
import { roundLayout } from "./plan-layout.ts";

const plan = (aggregation: object = {}) =>
  parsePlan({ federation: "lungs", title: "Lungs", rounds: 10, aggregation });
const magnitudes = [{ name: "weight", length: 3, largest: 0.5 }];

it("follows from plan, round, cohort and base, and from nothing else", () => {
  const hash = (
    ...[p = plan(), round = 2, sites = 3, largest = 0.5]: [
      ReturnType<typeof plan>?,
      number?,
      number?,
      number?,
    ]
  ) => layoutHash(roundLayout(p, round, sites, [{ name: "weight", length: 3, largest }]));
  expect(hash()).toBe(hash());
  const others = [hash(plan({ linkBits: 16 })), hash(plan(), 3), hash(plan(), 2, 4), hash(plan(), 2, 3, 0.6)];
  expect(new Set([hash(), ...others]).size).toBe(5);
});

it("leaves room for every step of a site as large as the cap, and rounds it so that runtimes agree", () => {
  const [range] = roundLayout(plan({ examplesCap: 320 }), 2, 3, magnitudes).tensors;
  // Ten steps at the peak of 1e-3, each of up to 1.1645.
  expect(range?.bound).toBeGreaterThan(0.011645);
  expect(range?.bound).toBeLessThan(0.013);
  expect(String(range?.bound).replace(/^0\.0*/, "").length).toBeLessThanOrEqual(6);
});

it("refuses a cohort that a narrow link has no room for", () => {
  expect(() => roundLayout(plan({ linkBits: 16 }), 2, 3000, magnitudes)).toThrow(
    expect.objectContaining({ code: "plan.invalid" }) as Error,
  );
});
