/** The engines of a training step: one, or one for each of several devices that share every batch. */
import { ConsiliumError } from "@consilium/shared/errors";
import { chooseDevice } from "../engine/devices/choose.ts";
import type { Device } from "../engine/devices/device.ts";
import type { EngineSettings } from "../engine/types.ts";
import type { TrainingEngine } from "./types.ts";

/** @throws engine.unavailable where the device is not here, or there can be only one of it */
export async function replicaEngines({
  threads,
  device = "auto",
  devices = 1,
  precision = "float32",
}: TrainingEngine): Promise<readonly [EngineSettings, ...EngineSettings[]]> {
  const settings = { device: typeof device === "string" ? await chooseDevice(device) : device, precision };
  if (devices === 1) return [{ threads, ...settings }];
  assertSeveral(settings.device.device);
  // As many threads for each: with another number sums would round differently.
  const share = Math.max(1, Math.floor(threads / devices));
  const engineOf = (deviceIndex: number): EngineSettings => ({ threads: share, deviceIndex, ...settings });
  return [engineOf(0), ...Array.from({ length: devices - 1 }, (_, i) => engineOf(i + 1))];
}

/**
 * All WebGPU sessions of a process share one GPU and one command encoder: ONNX Runtime (1.30) cannot be told which GPU,
 * and two threads that use it end the process. TF.js on TensorFlow has not been tried in several threads.
 */
const ONLY_ONE: readonly Device[] = ["webgpu", "tensorflow"];

function assertSeveral(device: Device): void {
  if (!ONLY_ONE.includes(device)) return;
  throw new ConsiliumError("engine.unavailable", {
    detail: `(${device} computes on one GPU only; --devices is for --device cuda and --device cpu)`,
    culprits: [device],
  });
}
