/** Fills the sites' caches: each hospital's images at its own site, the test images at every site. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { JsonLine } from "./children.ts";
import type { IngestResult, SiteCommands } from "./commands.ts";
import { eachAtMost } from "./concurrency.ts";
import type { Hospitals } from "./hospitals.ts";

export interface Ingested {
  readonly site: string;
  readonly train: IngestResult;
}

type Say = (text: string) => void;

/** One site after the other on each core; a site reads its own images first. */
export async function ingestAll(
  hospitals: Hospitals,
  sites: readonly SiteCommands[],
  sizePx: number,
  cores: number,
  say: Say,
): Promise<Ingested[]> {
  const { test } = hospitals;
  return eachAtMost(cores, sites, async (site) => {
    const own = hospitals.sites.find((hospital) => hospital.site === site.site);
    if (own === undefined) throw new Error(`no folder belongs to ${site.site}`);
    const report = sayFiles(site.site, say);
    const train = await site.ingest(own.images, "train", own.labels, { sizePx, threads: 1 }, report);
    await site.ingest(test.images, "test", test.labels, { sizePx, threads: 1 }, report);
    return { site: site.site, train };
  });
}

/**
 * All hospitals' images with all their labels in one cache of one site. The test folder lies among them, but its
 * images get no label, so nothing is fine-tuned on them.
 */
export async function ingestPooled(
  hospitals: Hospitals,
  site: SiteCommands,
  work: string,
  { sizePx, threads }: { sizePx: number; threads: number },
  say: Say,
): Promise<void> {
  const labels = join(work, "pooled-labels.csv");
  await writeFile(labels, await joinCsv(hospitals.sites.flatMap((each) => each.labels ?? [])));
  await site.ingest(hospitals.folder, "pooled", labels, { sizePx, threads }, sayFiles("all hospitals", say));
}

/** The rows of several files under the first one's header. */
export async function joinCsv(files: readonly string[]): Promise<string> {
  const texts = await Promise.all(files.map((file) => readFile(file, "utf8")));
  const bodies = texts.map((text) => text.trimEnd().split(/\r?\n/));
  const header = bodies[0]?.[0] ?? "";
  return `${[header, ...bodies.flatMap(([, ...rows]) => rows)].join("\n")}\n`;
}

function sayFiles(name: string, say: Say): (line: JsonLine) => void {
  return ({ done, total }) => {
    if (typeof done === "number" && typeof total === "number") say(`${name}: ${done} of ${total} files`);
  };
}
