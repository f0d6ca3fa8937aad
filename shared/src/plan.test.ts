import { describe, expect, it } from "vitest";
import { parsePlan, planHash } from "./plan.ts";

const minimal = { federation: "lungs", title: "Lungs", rounds: 5 };

describe("plan", () => {
  it("fills in every default and is frozen to the last member", () => {
    const plan = parsePlan(minimal);
    expect(plan.pretext.decoder.width).toBe(128);
    expect(Object.isFrozen(plan)).toBe(true);
    expect(Object.isFrozen(plan.pretext.decoder)).toBe(true);
  });

  it("has one hash however it is written down, and another for every change", () => {
    const plan = parsePlan(minimal);
    const reordered = parsePlan(Object.fromEntries(Object.entries(plan).reverse()));
    expect(planHash(reordered)).toBe(planHash(plan));
    expect(planHash(parsePlan({ ...minimal, seed: 2 }))).not.toBe(planHash(plan));
  });

  it("names each wrong field and refuses unknown ones", () => {
    const wrong = { ...minimal, rounds: 0, model: { imagePx: 65 }, surprise: 1 };
    expect(() => parsePlan(wrong)).toThrow(
      expect.objectContaining({
        code: "plan.invalid",
        culprits: expect.arrayContaining(["rounds", "model"]) as string[],
      }) as Error,
    );
  });
});
