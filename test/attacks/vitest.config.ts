/** Attacks on whole programs and on the real drivers over real sockets: `npm run attacks`. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    name: "attacks",
    environment: "node",
    env: { ORT_DISABLE_TELEMETRY: "1" },
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/attacks/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
});
