/**
 * The unmasked sum is the integer sum of the survivors, whatever falls silent where. `npm run attacks` looks at a part,
 * `npm run exactness` at a thousand attempts.
 */
import { expect, it } from "vitest";
import { assertExactSums } from "@consilium/shared/secagg/testing/exactness";

const RUNS = process.env["CONSILIUM_EXACTNESS"] === "all" ? 1000 : 40;
const PARTS = 4;

it.concurrent.each(Array.from({ length: PARTS }, (_, part) => part))(
  `gives exactly the survivors' sum and the mean of plain averaging, part %i of ${PARTS} of ${RUNS} attempts`,
  (part) => {
    const { runs, dropped, largestCohort, largestError } = assertExactSums(RUNS / PARTS, 7 + part, {
      min: 3,
      max: 40,
    });
    expect(runs).toBe(RUNS / PARTS);
    expect(largestCohort).toBeGreaterThan(20);
    for (const count of Object.values(dropped)) expect(count).toBeGreaterThan(0);
    console.log(`largest relative L2 error ${largestError.toExponential(1)}, attempts with losses`, dropped);
  },
  30 * 60_000,
);
