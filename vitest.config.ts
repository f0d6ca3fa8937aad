import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { longestFirst } from "./test/support/longest-first.ts";

/** Debian's chromium brings a software Vulkan driver and loader; with them the WebGPU tests need no GPU. */
const CHROMIUM = "/usr/lib/chromium";
const SOFTWARE_DRIVER = `${CHROMIUM}/vk_swiftshader_icd.json`;

/** `own` runs them on the machine's own GPU instead, `all` runs more of them. */
const { CONSILIUM_TEST_GPU } = process.env;

const hasSoftwareDriver = existsSync(SOFTWARE_DRIVER);

function gpuTests(): "none" | "some" | "all" {
  if (CONSILIUM_TEST_GPU === "own") return "all";
  if (!hasSoftwareDriver) return "none";
  return CONSILIUM_TEST_GPU === "all" ? "all" : "some";
}

function gpuEnvironment(): Record<string, string> {
  if (CONSILIUM_TEST_GPU === "own" || !hasSoftwareDriver) return {};
  const libraries = [CHROMIUM, process.env.LD_LIBRARY_PATH].filter(Boolean).join(":");
  // The loader wants a folder of its own for the session; it need not exist.
  const session = { XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? "/tmp" };
  // The first name is for loaders before 1.3.207.
  const driver = { VK_ICD_FILENAMES: SOFTWARE_DRIVER, VK_DRIVER_FILES: SOFTWARE_DRIVER };
  return { LD_LIBRARY_PATH: libraries, ...driver, ...session };
}

/** Where tests run TensorFlow.js themselves, whose backends and kernels are one set for a whole process. */
const TENSORFLOW = "site-agent/src/{doctor,downstream,engine,model,pretext}/**/*.test.ts";
/** These replace the gradient rules of their process by those that TensorFlow.js ships. */
const SHIPPED_RULES = [
  "site-agent/src/engine/gradients/shipped.test.ts",
  "site-agent/src/pretext/mae.engine.test.ts",
];

/** Each takes a minute or more, most of it spent waiting for processes: whatever else there is fits beside them. */
const LONGEST = ["test/e2e/federation.test.ts", "test/e2e/canary.test.ts"];

export default defineConfig({
  test: {
    environment: "node",
    // As the programs have it (shared/src/launch.mjs).
    env: { ORT_DISABLE_TELEMETRY: "1" },
    // TensorFlow.js ships its gradient rules as files that only a bundler resolves; one test compares ours with them.
    server: { deps: { inline: [/tfjs-core\/dist\/(register_all_gradients|gradients)/] } },
    testTimeout: 30_000,
    // One more than there are cores: of those that run, one or another waits for a process, a timer or the disk.
    maxWorkers: Math.min(availableParallelism() + 1, 8),
    sequence: { sequencer: longestFirst(LONGEST) },
    projects: [
      // One process for many files saves nearly half of their time, which goes into loading what they import.
      { extends: true, test: { name: "shared", include: ["shared/src/**/*.test.ts"], isolate: false } },
      {
        extends: true,
        test: { name: "coordinator", include: ["coordinator/src/**/*.test.ts"], isolate: false },
      },
      {
        extends: true,
        test: {
          name: "site-agent",
          include: ["site-agent/src/**/*.test.ts"],
          exclude: [TENSORFLOW, "site-agent/src/**/*.gpu.test.ts"],
          isolate: false,
        },
      },
      {
        extends: true,
        test: {
          name: "site-agent-tensorflow",
          include: [TENSORFLOW],
          exclude: [...SHIPPED_RULES, "site-agent/src/**/*.gpu.test.ts"],
          isolate: false,
        },
      },
      { extends: true, test: { name: "site-agent-shipped-rules", include: SHIPPED_RULES } },
      // Processes of their own, started with an environment in which a GPU's driver is found.
      {
        extends: true,
        test: {
          name: "site-agent-gpu",
          include: ["site-agent/src/**/*.gpu.test.ts"],
          pool: "forks",
          testTimeout: 120_000,
          env: gpuEnvironment(),
          provide: { gpuTests: gpuTests() },
        },
      },
      { extends: true, test: { name: "deploy", include: ["deploy/**/*.test.ts"] } },
      {
        extends: true,
        test: {
          name: "system",
          include: ["test/**/*.test.ts"],
          // Commands of their own: npm run attacks, npm run abuse.
          exclude: ["test/attacks/**", "test/abuse/**"],
          testTimeout: 180_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
