/** Abuse of a coordinator by whoever can reach its port: `npm run abuse`. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    name: "abuse",
    environment: "node",
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/abuse/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Figures of memory are of one attack at a time.
    fileParallelism: false,
  },
});
