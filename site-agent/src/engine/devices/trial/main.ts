/**
 * The process in which a device is tried for the first time: a GPU's driver that fails can end the process that opened it,
 * and here nothing is lost. Started with the device's name, it sends one Trial to its parent.
 */
import { toConsiliumError } from "@consilium/shared/errors";
import { readFile } from "node:fs/promises";
import { cpuProvider } from "../../providers/cpu.ts";
import { cudaProvider } from "../../providers/cuda.ts";
import type { Provider } from "../../providers/provider.ts";
import { webGpuProvider } from "../../providers/webgpu.ts";
import { openTensorFlow } from "../../tensorflow.ts";
import { multiply, multipliesHalf } from "../compute.ts";
import { absent, PROCESSOR, type Trial } from "../device.ts";
import { adapterOf, listGpus } from "../machine.ts";

async function tryWebGpu(): Promise<Trial> {
  const half = await tryProvider(webGpuProvider());
  const maps = await readFile("/proc/self/maps", "utf8").catch(() => null);
  return { usable: true, half, ...adapterOf(process.platform, maps, await listGpus(process.platform)) };
}

async function tryCuda(): Promise<Trial> {
  const half = await tryProvider(cudaProvider());
  const gpus = await listGpus(process.platform);
  const name = gpus.find(({ vendor }) => vendor === "NVIDIA")?.name ?? "NVIDIA GPU";
  return { usable: true, half, name, hardware: true };
}

async function tryTensorFlow(): Promise<Trial> {
  const { packageName, usesGpu } = await openTensorFlow();
  return { usable: true, half: false, name: packageName, hardware: usesGpu };
}

async function tryCpu(): Promise<Trial> {
  await multiply(cpuProvider(1), "float32");
  return PROCESSOR;
}

/** @returns whether it multiplies float16 */
async function tryProvider(provider: Provider): Promise<boolean> {
  await multiply(provider, "float32");
  return multipliesHalf(provider);
}

const TRIALS: Readonly<Record<string, () => Promise<Trial>>> = {
  webgpu: tryWebGpu,
  cuda: tryCuda,
  tensorflow: tryTensorFlow,
  cpu: tryCpu,
};

async function answer(): Promise<Trial> {
  try {
    return (await TRIALS[process.argv[2] ?? ""]?.()) ?? absent("there is no such device");
  } catch (error) {
    const { message, detail } = toConsiliumError(error);
    return absent(detail?.replace(/^\((.*)\)$/s, "$1") ?? message);
  }
}

process.send?.(await answer());
process.disconnect();
