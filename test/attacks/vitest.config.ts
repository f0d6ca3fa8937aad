/** Attacks on whole programs and on the real drivers over real sockets: `npm run attacks`. */
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { longestFirst } from "../support/longest-first.ts";

const LONGEST = ["coordinator", "exactness", "membership", "site"].map(
  (name) => `test/attacks/${name}.test.ts`,
);

export default defineConfig({
  test: {
    name: "attacks",
    environment: "node",
    env: { ORT_DISABLE_TELEMETRY: "1" },
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/attacks/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: Math.min(availableParallelism() + 1, 4),
    sequence: { sequencer: longestFirst(LONGEST) },
  },
});
