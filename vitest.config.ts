import { defineConfig } from "vitest/config";

/** Slow projects (real processes, real browser) run after the quick ones and one file at a time. */
export default defineConfig({
  test: {
    environment: "node",
    // TensorFlow.js ships its gradient rules as files that only a bundler resolves; one test compares ours with them.
    server: { deps: { inline: [/tfjs-core\/dist\/(register_all_gradients|gradients)/] } },
    testTimeout: 30_000,
    projects: [
      { extends: true, test: { name: "shared", include: ["shared/src/**/*.test.ts"] } },
      { extends: true, test: { name: "coordinator", include: ["coordinator/src/**/*.test.ts"] } },
      { extends: true, test: { name: "site-agent", include: ["site-agent/src/**/*.test.ts"] } },
      { extends: true, test: { name: "deploy", include: ["deploy/**/*.test.ts"] } },
      {
        extends: true,
        test: {
          name: "system",
          include: ["test/**/*.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
