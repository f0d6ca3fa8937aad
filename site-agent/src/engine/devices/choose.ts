/** Which device a step runs on. */
import { ConsiliumError } from "@consilium/shared/errors";
import { absent, DEVICES, type Device, type DeviceChoice, type Trial, type WantedDevice } from "./device.ts";
import { listGpus, type Gpu } from "./machine.ts";
import { tryDevice } from "./trial.ts";

export interface ChoicePorts {
  readonly gpus: () => Promise<readonly Gpu[]>;
  readonly tryDevice: (device: Device) => Promise<Trial>;
}

const REAL: ChoicePorts = { gpus: () => listGpus(process.platform), tryDevice };

/**
 * `auto` takes a GPU that is hardware, else the CPU: a software adapter computes on the CPU, more slowly than ONNX Runtime does.
 * @throws engine.unavailable where the device that was asked for does not work
 */
export async function chooseDevice(wanted: WantedDevice, ports: ChoicePorts = REAL): Promise<DeviceChoice> {
  if (wanted !== "auto") {
    const trial = await ports.tryDevice(wanted);
    if (!trial.usable) {
      throw new ConsiliumError("engine.unavailable", {
        detail: `(${wanted}: ${trial.reason})`,
        culprits: [wanted],
      });
    }
    return { device: wanted, name: trial.name, half: trial.half, passedOver: [] };
  }
  const gpus = await ports.gpus();
  const passedOver: { device: Device; reason: string }[] = [];
  for (const device of DEVICES) {
    const trial = missingGpu(device, gpus) ?? (await ports.tryDevice(device));
    const reason = objection(trial);
    if (trial.usable && reason === null) return { device, name: trial.name, half: trial.half, passedOver };
    passedOver.push({ device, reason: reason ?? "" });
  }
  throw new ConsiliumError("engine.unavailable", { detail: "(not even the CPU)" });
}

/** Spares a process for each device that cannot be there. */
function missingGpu(device: Device, gpus: readonly Gpu[]): Trial | null {
  if (device === "cpu") return null;
  if (device === "cuda" && !gpus.some(({ vendor }) => vendor === "NVIDIA"))
    return absent("there is no NVIDIA GPU");
  return gpus.length === 0 ? absent("there is no GPU") : null;
}

function objection(trial: Trial): string | null {
  if (!trial.usable) return trial.reason;
  if (trial.hardware === null) return `cannot tell whether ${trial.name} is hardware; ask for it by --device`;
  return trial.hardware ? null : `${trial.name} is not a GPU`;
}

/** One line for the log. */
export function describeChoice({ device, name, passedOver }: DeviceChoice): string {
  const reasons = passedOver.map(({ device: other, reason }) => `${other}: ${reason}`);
  return [`training on ${device} (${name})`, ...reasons].join("; ");
}
