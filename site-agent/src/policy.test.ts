import { parsePlan } from "@consilium/shared/plan";
import { expect, it } from "vitest";
import { assertAllowed, DEFAULT_POLICY } from "./policy.ts";

const input = { federation: "lungs", title: "Lungs", rounds: 3 };
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
