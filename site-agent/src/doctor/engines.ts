/** Processor, GPUs, drivers and engines: what is here, what is missing, and the one command that brings it. */
import os from "node:os";
import { chooseDevice, describeChoice, type ChoicePorts } from "../engine/devices/choose.ts";
import type { Device, Trial } from "../engine/devices/device.ts";
import { listGpus, listVulkanDrivers, type Gpu } from "../engine/devices/machine.ts";
import { tryDevice, tryProcessor } from "../engine/devices/trial.ts";
import { ok, warn, type Finding } from "./finding.ts";

/** What the machine has, and how its devices do. */
export interface Machine extends ChoicePorts {
  readonly processor: string;
  readonly vulkanDrivers: () => Promise<readonly string[]>;
  readonly tryProcessor: () => Promise<Trial>;
  readonly tensorFlow: () => Promise<string | null>;
}

export const realMachine = (environment: Readonly<Record<string, string | undefined>>): Machine => ({
  processor: os.cpus()[0]?.model.trim() ?? "unknown",
  gpus: () => listGpus(process.platform),
  vulkanDrivers: () => listVulkanDrivers(environment),
  tryDevice,
  tryProcessor,
  tensorFlow: async () => (await import("../engine/tensorflow.ts")).installedTensorFlow(),
});

export async function examineEngines(machine: Machine, threads: number): Promise<readonly Finding[]> {
  const { describeProviders } = await import("../engine/engine.ts");
  const [gpus, drivers] = await Promise.all([machine.gpus(), machine.vulkanDrivers()]);
  return [
    ok("processor", machine.processor),
    ...hardware(gpus),
    ok("vulkan", drivers.length === 0 ? "no driver" : drivers.join(", ")),
    cpu(await machine.tryProcessor(), describeProviders().runtime, threads),
    await webGpu(machine, gpus, drivers),
    await cuda(machine, gpus),
    await tensorFlow(machine),
    ok("--device auto", describeChoice(await chooseDevice("auto", machine))),
  ];
}

function cpu(trial: Trial, runtime: string, threads: number): Finding {
  const what = "engine cpu";
  return trial.usable
    ? ok(what, `works, ONNX Runtime ${runtime}, ${threads} threads`)
    : { status: "fail", what, found: trial.reason, next: "npm ci  (installs ONNX Runtime for this machine)" };
}

function hardware(gpus: readonly Gpu[]): readonly Finding[] {
  if (gpus.length === 0) return [ok("gpu", "none seen")];
  return gpus.map(({ name, driver, accessible }) => {
    const found = `${name}, driver ${driver ?? "unknown"}`;
    return accessible
      ? ok("gpu", found)
      : warn("gpu", `${found}: this user may not open it`, "sudo usermod -aG render $USER");
  });
}

async function webGpu(machine: Machine, gpus: readonly Gpu[], drivers: readonly string[]): Promise<Finding> {
  const what = "engine webgpu";
  if (gpus.length === 0 && drivers.length === 0) return ok(what, "not needed: there is no GPU");
  const trial = await machine.tryDevice("webgpu");
  if (!trial.usable) {
    const isNeeded = gpus.length > 0 || misses(trial.reason, "loader");
    return isNeeded ? warn(what, trial.reason, vulkanCommand(gpus, trial.reason)) : ok(what, trial.reason);
  }
  if (trial.hardware !== false) return ok(what, working(trial));
  const found = `${working(trial)}: slower than engine cpu`;
  return gpus.length === 0 ? ok(what, found) : warn(what, found, vulkanCommand(gpus, ""));
}

const working = ({ name, half }: Extract<Trial, { usable: true }>): string =>
  `works on ${name}, ${half ? "with" : "without"} float16`;

/** Reasons are sentences; those of trial.ts name what is not installed. */
const misses = (reason: string, part: string): boolean => reason.includes(part);

function vulkanCommand(gpus: readonly Gpu[], reason: string): string {
  const nvidia = gpus.find(({ vendor }) => vendor === "NVIDIA");
  if (nvidia === undefined && gpus.length > 0) return "sudo apt install libvulkan1 mesa-vulkan-drivers";
  if (misses(reason, "loader")) return "sudo apt install libvulkan1";
  const release = /(\d+)\./.exec(nvidia?.driver ?? "")?.[1];
  // In a container the driver's files come from outside.
  return `sudo apt install libvulkan1 ${release === undefined ? "nvidia-vulkan-icd" : `libnvidia-gl-${release}`}  (in a container: start it with NVIDIA_DRIVER_CAPABILITIES=all)`;
}

/** npm does not run the package's own installer, as it would ask another host in every installation. */
const INSTALL_CUDA = "ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js";
const INSTALL_CUDA_LIBRARIES = "sudo apt install cuda-libraries-12-6 libcudnn9-cuda-12";

async function cuda(machine: Machine, gpus: readonly Gpu[]): Promise<Finding> {
  const what = "engine cuda";
  if (!gpus.some(({ vendor }) => vendor === "NVIDIA")) return ok(what, "not needed: there is no NVIDIA GPU");
  const trial = await machine.tryDevice("cuda");
  if (trial.usable) return ok(what, working(trial));
  return warn(
    what,
    trial.reason,
    misses(trial.reason, "onnxruntime") ? INSTALL_CUDA : INSTALL_CUDA_LIBRARIES,
  );
}

async function tensorFlow(machine: Machine): Promise<Finding> {
  const what = "engine tensorflow";
  const installed = await machine.tensorFlow();
  if (installed === null) {
    return ok(what, "not installed (optional: npm install --no-save @tensorflow/tfjs-node-gpu@4.22.0)");
  }
  const trial = await machine.tryDevice("tensorflow" satisfies Device);
  if (!trial.usable) return warn(what, trial.reason, `npm rebuild ${installed} --build-addon-from-source`);
  return ok(what, `works, ${trial.name} on ${trial.hardware === true ? "a GPU" : "the CPU"}`);
}
