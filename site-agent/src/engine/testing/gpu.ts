/** For tests that need WebGPU: on the machine's own GPU if that is wanted, else on a software driver, where there is one. */
import { describe } from "vitest";

const { VK_DRIVER_FILES, CONSILIUM_TEST_GPU } = process.env;

const hasDriver = VK_DRIVER_FILES !== undefined || CONSILIUM_TEST_GPU === "own";

/** CONSILIUM_TEST_GPU=all: not only some of the kernel contract. */
export const testsAllGpuCases = CONSILIUM_TEST_GPU === "all" || CONSILIUM_TEST_GPU === "own";

/** The reason for skipping is the group's name. */
export function gpuTests(define: () => void): void {
  const reason = hasDriver
    ? "with a Vulkan driver"
    : "needs a Vulkan driver, such as that of Debian's chromium package";
  describe.skipIf(!hasDriver)(reason, define);
}
