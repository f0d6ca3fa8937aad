/** Tries a device in a process of its own, once. */
import { fork } from "node:child_process";
import { scriptArguments } from "@consilium/shared/threads";
import { absent, PROCESSOR, type Device, type Trial } from "./device.ts";

const SCRIPT = new URL("./trial/main.ts", import.meta.url);
/** Loading CUDA's libraries from a cold disk takes many seconds. */
const PATIENCE_MS = 90_000;

const known = new Map<Device, Promise<Trial>>();

/** The answer holds as long as this process. */
export function tryDevice(device: Device): Promise<Trial> {
  let trial = known.get(device);
  if (trial === undefined) {
    trial = device === "cpu" ? Promise.resolve(PROCESSOR) : tryIn(SCRIPT, device);
    known.set(device, trial);
  }
  return trial;
}

/** Computes once on the processor as well, which choosing a device does without. */
export const tryProcessor = (): Promise<Trial> => tryIn(SCRIPT, "cpu");

/** Whatever becomes of the process, there is an answer. @param script gets the device as its argument */
export function tryIn(script: URL, device: Device): Promise<Trial> {
  return new Promise((resolve) => {
    const [start, file] = scriptArguments(script);
    const child = fork(start, [file, device], {
      execArgv: [],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    let complaints = "";
    let trial: Trial | null = null;
    const impatience = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      complaints = (complaints + text).slice(-MOST_COMPLAINTS);
    });
    child.on("message", (message) => {
      trial = message as Trial;
    });
    child.on("error", (error) => {
      clearTimeout(impatience);
      resolve(absent(`it cannot be tried: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      clearTimeout(impatience);
      resolve(withHint(trial ?? absent(`trying it ended with ${signal ?? `code ${code}`}`), complaints));
    });
  });
}

const MOST_COMPLAINTS = 20_000;

/** What libraries say only on the terminal. */
function withHint(trial: Trial, complaints: string): Trial {
  if (trial.usable) return trial;
  const library = /Couldn't load Vulkan: (lib\S+?):/.exec(complaints)?.[1];
  if (library !== undefined) return absent(`the Vulkan loader ${library} is not installed`);
  const file = /Failed to load library \S*?([^/\s]+) with error: (?:\S*\/)?(lib[^:\s]+): cannot open/.exec(
    complaints,
  );
  if (file !== null) return absent(`the library ${file[2] ?? file[1] ?? ""} is not installed`);
  return trial;
}
