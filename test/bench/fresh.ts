/** Runs a workload in a fresh process, where neither compiled code nor memory is left from anything else. */
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import type { Device } from "./compiled.ts";
import type { ModelName } from "./workload.ts";

const MAIN = path.join(import.meta.dirname, "fresh-main.ts");

const freshSchema = z.object({
  /** From the TF.js code to a step that is ready to run. */
  compileMs: z.number(),
  idleRssBytes: z.number(),
  peakRssBytes: z.number(),
  losses: z.array(z.number()),
});
export type FreshRun = z.infer<typeof freshSchema>;

export interface FreshOptions {
  readonly model: ModelName;
  /** null: as the workload has it. */
  readonly batch: number | null;
  readonly device: Device;
  readonly threads: number;
  readonly steps: number;
}

/** @throws Error with the process' own message */
export async function runFresh({ model, batch, device, threads, steps }: FreshOptions): Promise<FreshRun> {
  const args = [model, batch ?? "-", device, threads, steps].map(String);
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", MAIN, ...args]);
  return freshSchema.parse(JSON.parse(stdout));
}
