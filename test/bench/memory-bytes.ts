import { readFileSync } from "node:fs";

/** Resident memory of this process now, or at its peak. Elsewhere than on Linux the peak stands for both. */
export function memoryBytes(field: "VmRSS" | "VmHWM"): number {
  // Not getrusage: Linux counts what the parent held when it forked.
  if (process.platform !== "linux") return process.resourceUsage().maxRSS * 1024;
  const status = readFileSync("/proc/self/status", "utf8");
  const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1];
  return Number(kilobytes) * 1024;
}
