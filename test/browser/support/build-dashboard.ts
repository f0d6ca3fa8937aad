import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { build } from "vite";

const root = path.resolve(import.meta.dirname, "../../../coordinator/dashboard");

/** Builds the page as it is now, not as it was when `npm ci` ran, into a folder of its own. */
export async function buildDashboard(): Promise<{ dist: string; remove: () => Promise<void> }> {
  const dist = await mkdtemp(path.join(tmpdir(), "consilium-dashboard-"));
  await build({ root, logLevel: "warn", build: { outDir: dist, emptyOutDir: true } });
  return { dist, remove: () => rm(dist, { recursive: true, force: true }) };
}
