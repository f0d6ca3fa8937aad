/** Quantities as people read them. Inside the system units go in names: `deadlineMs`, `sizeBytes`. */

const STEP = 1000;

/** 1234567 -> "1.2 MB" (powers of 1000, as disks and networks count). */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= STEP && unit < units.length - 1) {
    value /= STEP;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit] ?? "B"}`;
}

/** 73500 -> "1 min 14 s"; 850 -> "850 ms". */
export function formatDurationMs(durationMs: number): string {
  if (durationMs < STEP) return `${Math.round(durationMs)} ms`;
  const seconds = Math.round(durationMs / STEP);
  if (seconds < 60) return `${(durationMs / STEP).toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** "1 round", "2 rounds"; "1 pass", "2 passes". */
export const counted = (count: number, noun: string, plural = `${noun}s`): string =>
  `${count} ${count === 1 ? noun : plural}`;
