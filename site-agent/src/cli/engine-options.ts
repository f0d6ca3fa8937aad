/** The options by which a command chooses where to compute, and the line that says what was taken. */
import type { Command } from "commander";
import { chooseDevice, describeChoice } from "../engine/devices/choose.ts";
import { WANTED_DEVICES, type WantedDevice } from "../engine/devices/device.ts";
import type { EngineSettings } from "../engine/types.ts";
import { oneOf, wholeNumber } from "./context.ts";
import type { Output } from "./output.ts";
import type { CliPorts } from "./ports.ts";

export interface EngineCliOptions {
  readonly threads: number;
  readonly device: WantedDevice;
}

export function withEngineOptions(command: Command, { cores }: CliPorts): Command {
  const devices = WANTED_DEVICES.join(", ");
  return command
    .option("--threads <n>", "threads for computing on the CPU", wholeNumber("--threads", 1), cores)
    .option("--device <name>", `where to compute: ${devices}`, oneOf("--device", WANTED_DEVICES), "auto");
}

/** Tries the device, and says what was taken. @throws engine.unavailable */
export async function chooseEngine(
  { threads, device: wanted }: EngineCliOptions,
  output: Output,
): Promise<EngineSettings> {
  const device = await chooseDevice(wanted);
  output.event("engine", { threads, ...device }, describeChoice(device));
  return { threads, device };
}
