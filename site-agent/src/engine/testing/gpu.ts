/** For tests that need WebGPU; vitest.config.ts says whether they can run, and how many. */
import { describe, inject } from "vitest";

declare module "vitest" {
  export interface ProvidedContext {
    readonly gpuTests: "none" | "some" | "all";
  }
}

/** Not only some of the kernel contract. */
export const testsAllGpuCases = inject("gpuTests") === "all";

/** The reason for skipping is the group's name. */
export function gpuTests(define: () => void): void {
  const hasDriver = inject("gpuTests") !== "none";
  const reason = hasDriver
    ? "with a Vulkan driver"
    : "needs a Vulkan driver, such as that of Debian's chromium package";
  describe.skipIf(!hasDriver)(reason, define);
}
