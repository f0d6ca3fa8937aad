import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ERRORS } from "@consilium/shared/errors";

const PROGRAMS = [
  "coordinator/bin/consilium-coordinator.mjs",
  "site-agent/bin/consilium-site.mjs",
  "deploy/demo/main.mjs",
];

/** Runs `PROGRAM --help` as a Node.js of that version would. */
function helpOn(version: string, program: string) {
  const versions = JSON.stringify({ ...process.versions, node: version });
  const disguise = `Object.defineProperty(process, "versions", { value: ${versions} })`;
  return spawnSync(
    process.execPath,
    [
      "--import",
      `data:text/javascript,${encodeURIComponent(disguise)}`,
      fileURLToPath(new URL(`../../${program}`, import.meta.url)),
      "--help",
    ],
    { encoding: "utf8" },
  );
}

describe.each(PROGRAMS)("%s", (program) => {
  it.each(["18.20.8", "20.18.3"])("says what to do on Node.js %s", (version) => {
    const { status, stdout, stderr } = helpOn(version, program);
    const { meaning, next } = ERRORS["node.too-old"];
    expect(stderr).toBe(`${meaning.slice(0, -1)} (${version}).\n  code: node.too-old\n  next: ${next}\n`);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  });

  it("starts on the oldest Node.js that it takes", () => {
    const { status, stdout } = helpOn("20.19.0", program);
    expect(stdout).toMatch(/^Usage: /);
    expect(status).toBe(0);
  });
});
