import { expect, it } from "vitest";
import { FEDERATION_ERRORS } from "./error-table/federation.ts";
import { GOVERNANCE_ERRORS } from "./error-table/governance.ts";
import { IMAGE_ERRORS } from "./error-table/images.ts";
import { LEARNING_ERRORS } from "./error-table/learning.ts";
import { PRIVACY_ERRORS } from "./error-table/privacy.ts";
import { RUNNING_ERRORS } from "./error-table/running.ts";
import { SECAGG_ERRORS } from "./error-table/secagg.ts";
import { SOURCE_ERRORS } from "./error-table/sources.ts";
import { ConsiliumError, describeError, ERRORS, errorBody, toConsiliumError } from "./errors.ts";

it("gives every code a meaning and a next step, each a sentence", () => {
  for (const [code, { meaning, next, status }] of Object.entries(ERRORS)) {
    expect(meaning, code).toMatch(/^[A-Z].*\.$/);
    expect(next, code).toMatch(/^[A-Z].*\.$/);
    expect(status, code).toBeGreaterThanOrEqual(400);
  }
});

it("has each code in one area", () => {
  const areas = [
    RUNNING_ERRORS,
    FEDERATION_ERRORS,
    GOVERNANCE_ERRORS,
    SECAGG_ERRORS,
    IMAGE_ERRORS,
    SOURCE_ERRORS,
    LEARNING_ERRORS,
    PRIVACY_ERRORS,
  ];
  const codes = areas.flatMap((area) => Object.keys(area));
  expect(codes.filter((code, i) => codes.indexOf(code) !== i)).toEqual([]);
  expect(Object.keys(ERRORS)).toEqual(codes);
});

it("tells a person the code and the next step, and never a foreign error's text", () => {
  expect(describeError(new ConsiliumError("plan.invalid", { detail: "rounds: too small" }))).toBe(
    "The federation plan is not valid. rounds: too small\n  code: plan.invalid\n  next: Correct the field named above.",
  );
  expect(describeError(new TypeError("CANARY in a library's message"))).not.toContain("CANARY");
});

it("recognises the system's own errors", () => {
  const system = (code: string) => Object.assign(new Error("x"), { code });
  expect(toConsiliumError(system("ENOSPC")).code).toBe("disk.full");
  expect(toConsiliumError(system("EADDRINUSE")).code).toBe("port.in-use");
  expect(errorBody(toConsiliumError(system("ECONNREFUSED"))).code).toBe("coordinator.unreachable");
});
