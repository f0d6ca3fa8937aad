import { parsePlan } from "@consilium/shared/plan";
import { expect, it } from "vitest";
import { planText } from "./governance/plan-text.ts";
import { assertAllowed, DEFAULT_POLICY } from "./policy.ts";

const input = { federation: "lungs", title: "Lungs", rounds: 3 };
const grouped = parsePlan({
  ...input,
  minSites: 15,
  aggregation: { strategy: { name: "group-median", groupSites: 5 } },
});
const plain = parsePlan({ ...input, aggregation: { secure: "plain" } });

it("takes part where updates are masked, and in a plain federation only if someone at the site allowed it", () => {
  expect(() => {
    assertAllowed(parsePlan(input), DEFAULT_POLICY);
    assertAllowed(plain, { ...DEFAULT_POLICY, requireSecureAggregation: false });
  }).not.toThrow();
  expect(() => {
    assertAllowed(plain, DEFAULT_POLICY);
  }).toThrow(expect.objectContaining({ code: "policy.plain-refused" }) as Error);
});

it("holds its smallest cohort against the group whose sum is opened, and not against the federation", () => {
  expect(() => {
    assertAllowed(grouped, { ...DEFAULT_POLICY, minCohort: 4 });
  }).not.toThrow();
  expect(() => {
    assertAllowed(grouped, { ...DEFAULT_POLICY, minCohort: 5 });
  }).toThrow(expect.objectContaining({ code: "policy.cohort-too-small" }) as Error);
  expect(planText(grouped)).toContain("the sum of each group, of as few as 4 sites");
});
