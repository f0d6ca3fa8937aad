/** Masked rounds whose groups are summed apart: a group with too few sites is left out by name, and three are a round. */
import type { SiteId } from "@consilium/shared/ids";
import type { MaskingStep } from "@consilium/shared/protocol/round";
import { expect, it } from "vitest";
import { begin, runAttempt, settingFor, STEPS, type MaskedFederation } from "../testing/masked-federation.ts";

const SETTING = settingFor(16, 12, 4);

/** As the reducer has drawn them. */
function groupsIn(federation: MaskedFederation): readonly (readonly SiteId[])[] {
  const grouping = federation.open.masking?.grouping;
  return grouping !== undefined && "groups" in grouping ? grouping.groups.map(({ sites }) => sites) : [];
}

/** Two sites of the first groups are not heard of from this step on. */
function withThinGroups(step: MaskingStep, groups: number) {
  const thin: SiteId[][] = [];
  return {
    thin,
    silences: (current: MaskingStep, federation: MaskedFederation) => {
      if (current !== step) return [];
      thin.push(
        ...groupsIn(federation)
          .slice(0, groups)
          .map((sites) => [...sites]),
      );
      return thin.flatMap((sites) => sites.slice(0, 2));
    },
  };
}

it.each(["share", "consistency"] as const)(
  "leaves a group out that has too few sites in the step %s, before a restart as after",
  (step) => {
    const federation = begin(SETTING, 1);
    const { thin, silences } = withThinGroups(step, 1);
    // The longest way is gone through once.
    const restarts = step === "consistency" ? STEPS : [step];
    expect(runAttempt(federation, silences, new Set(restarts))).toBeNull();
    const { position } = federation.state;
    if (position.phase !== "aggregating") throw new Error("it came to its sums");
    expect(federation.masked.unmaskings().sums).toHaveLength(3);
    const summed = federation.masked.unmaskings().sums.flatMap(({ survivors }) => survivors);
    const excluded = position.excluded.map(({ site }) => site);
    expect([...summed, ...excluded].sort()).toEqual([...position.cohort].sort());
    expect(excluded).toEqual(thin.flat().sort());
    expect(position.excluded.some(({ reason }) => reason === "too few sites of its group were left")).toBe(
      true,
    );
    federation.restart();
  },
);

it("begins another attempt, with other groups, where two are left", () => {
  const federation = begin(SETTING, 1);
  const { silences } = withThinGroups("unmask", 2);
  expect(runAttempt(federation, silences, new Set())).toBe("unmask");
  expect(federation.open).toMatchObject({ round: 1, attempt: 2, contributions: [] });
});
