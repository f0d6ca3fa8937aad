/** The options by which a command chooses where to compute, and the line that says what was taken. */
import type { Plan } from "@consilium/shared/plan";
import type { Command } from "commander";
import { chooseDevice, describeChoice } from "../engine/devices/choose.ts";
import { PRECISIONS, WANTED_DEVICES, type Precision, type WantedDevice } from "../engine/devices/device.ts";
import type { EngineSettings } from "../engine/types.ts";
import { assertDivides } from "../training/batch-shares.ts";
import { replicaEngines } from "../training/replica-engines.ts";
import type { TrainingEngine } from "../training/types.ts";
import { oneOf, wholeNumber } from "./context.ts";
import type { Output } from "./output.ts";
import type { CliPorts } from "./ports.ts";

export interface EngineCliOptions {
  readonly threads: number;
  readonly device: WantedDevice;
  readonly precision: Precision;
}

export function withEngineOptions(command: Command, { cores }: CliPorts): Command {
  const devices = WANTED_DEVICES.join(", ");
  return command
    .option("--threads <n>", "threads for computing on the CPU", wholeNumber("--threads", 1), cores)
    .option("--device <name>", `where to compute: ${devices}`, oneOf("--device", WANTED_DEVICES), "auto")
    .option(
      "--precision <name>",
      "float32, or mixed: matrix products in float16, on GPUs that can",
      oneOf("--precision", PRECISIONS),
      "float32",
    );
}

export interface TrainingCliOptions extends EngineCliOptions {
  readonly devices: number;
  readonly microBatches: number;
  readonly recompute: boolean;
}

export const withTrainingOptions = (command: Command, ports: CliPorts): Command =>
  withEngineOptions(command, ports)
    .option(
      "--devices <n>",
      "GPUs, or groups of the CPU's threads, that share every batch",
      wholeNumber("--devices", 1),
      1,
    )
    .option(
      "--micro-batches <n>",
      "parts of a batch computed one after the other: less memory, about a quarter slower",
      wholeNumber("--micro-batches", 1),
      1,
    )
    .option("--recompute", "compute the model's blocks twice: still less memory, a quarter slower", false);

/** Tries the device, and says what was taken. @throws engine.unavailable */
export async function chooseEngine(
  { threads, device: wanted, precision }: EngineCliOptions,
  output: Output,
): Promise<EngineSettings> {
  const device = await chooseDevice(wanted);
  output.event("engine", { threads, precision, ...device }, describeChoice(device));
  return { threads, device, precision };
}

/** The same for training; refuses at once what its first step would. @throws engine.unavailable, engine.not-separable */
export async function chooseTrainingEngine(
  options: TrainingCliOptions,
  plan: Plan,
  output: Output,
): Promise<TrainingEngine> {
  const { devices, microBatches, recompute } = options;
  assertDivides(plan, devices * microBatches);
  const engine = { ...(await chooseEngine(options, output)), devices, microBatches, recompute };
  const [{ threads, device }] = await replicaEngines(engine);
  if (devices > 1) {
    const each =
      device.device === "cpu" ? `${threads} ${threads === 1 ? "thread" : "threads"} each` : "one GPU each";
    output.event("devices", { devices, threads }, `every batch is shared by ${devices}, with ${each}`);
  }
  return engine;
}
