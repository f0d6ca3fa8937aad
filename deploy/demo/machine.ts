/** What the demo ran on, for the report. */
import { createRequire } from "node:module";
import { arch, availableParallelism, cpus, platform, totalmem } from "node:os";
import { z } from "zod";
import type { DemoReport } from "./report/types.ts";

const require = createRequire(import.meta.url);

export const cores = availableParallelism;

export function describeMachine(nodeVersion: string): DemoReport["machine"] {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cores(),
    memoryBytes: totalmem(),
    platform: `${platform()} ${arch()}`,
    node: nodeVersion,
  };
}

/** Versions of what computes: the project and the libraries under its engine. */
export function versions(): Record<string, string> {
  const manifest = z.looseObject({ version: z.string() });
  const version = (path: string): string => manifest.parse(require(path)).version;
  return {
    consilium: version("../../package.json"),
    "onnxruntime-node": version("onnxruntime-node/package.json"),
    "@tensorflow/tfjs-core": version("@tensorflow/tfjs-core/package.json"),
  };
}
