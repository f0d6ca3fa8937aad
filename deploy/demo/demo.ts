/** The demo from beginning to end: each stage in the order in which a consortium would live it. */
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parsePlan } from "@consilium/shared/plan";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import { FEDERATION, demoPlan } from "./plan.ts";
import type { Children } from "./children.ts";
import { SiteCommands, invite, serveCoordinator } from "./commands.ts";
import { eachAtMost } from "./concurrency.ts";
import type { Folders } from "./folders.ts";
import { findHospitals, type Hospitals } from "./hospitals.ts";
import { fineTune, type FineTuned } from "./finetuning.ts";
import { ingestAll, ingestPooled, type Ingested } from "./ingesting.ts";
import type { DemoOptions } from "./options.ts";
import { makePhantoms } from "./phantom/make.ts";
import type { Progress } from "./progress.ts";
import { readReconstructions } from "./reconstructions.ts";
import type { DemoReport } from "./report/types.ts";
import { lossesOf, lossFall } from "./rounds.ts";
import { trainAlone, trainTogether } from "./training.ts";

export interface Surroundings {
  readonly children: Children;
  readonly folders: Folders;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly cores: number;
  readonly nowMs: () => number;
}

export interface DemoOutcome {
  readonly hospitals: Hospitals;
  readonly ingested: readonly Ingested[];
  readonly status: FederationStatus;
  readonly fineTuned: FineTuned;
  readonly reconstructions: DemoReport["reconstructions"];
  readonly steps: DemoReport["steps"];
  readonly trainingMs: number;
}

const RECONSTRUCTED_IMAGES = 4;

/** @throws ConsiliumError, ChildFailure; the children are the caller's to end in either case */
export async function runDemo(options: DemoOptions, around: Surroundings): Promise<DemoOutcome> {
  const { children, folders, progress, signal, cores } = around;
  const steps: { name: string; durationMs: number }[] = [];
  const stage: Progress["step"] = async (title, work, done) => {
    signal.throwIfAborted();
    const startedAt = around.nowMs();
    const result = await progress.step(title, work, done);
    steps.push({ name: title, durationMs: around.nowMs() - startedAt });
    return result;
  };

  const data = options.data ?? join(folders.work, "phantoms");
  if (options.data === null) {
    await stage("Drawing phantom radiographs", (say) =>
      makePhantoms(
        data,
        { seed: options.seed, images: options.images },
        Math.min(2, cores),
        (done, total) => {
          say(`${done} of ${total} images`);
        },
        signal,
      ),
    );
  }
  const hospitals = await findHospitals(data);
  const plan = parsePlan(demoPlan(options, hospitals.sites.length));
  const sizePx = plan.cachePx;
  const coordinatorHome = join(folders.work, "coordinator");

  const coordinator = await stage("Starting the coordinator", async () => {
    const file = join(folders.work, "plan.json");
    await writeFile(file, JSON.stringify(plan, null, 2));
    return serveCoordinator(children, { home: coordinatorHome, port: options.port, plan: file });
  });
  progress.note(`  Dashboard while it runs: ${coordinator.dashboardUrl}`);

  const threads = Math.max(1, Math.floor(cores / hospitals.sites.length));
  const sites = hospitals.sites.map(
    ({ site }) => new SiteCommands(children, site, join(folders.work, "sites", site), threads),
  );
  await stage(`Enrolling ${sites.map(({ site }) => site).join(", ")}`, (say) =>
    eachAtMost(cores, sites, async (site) => {
      await site.init();
      await site.join(coordinator.url, await invite(children, coordinatorHome, site.site), plan);
      say(`${site.site} has joined`);
    }),
  );

  // A hospital's own people do this; nobody trains before they have.
  await stage("Approving the plan, on behalf of each hospital's data-protection officer", () =>
    eachAtMost(cores, sites, (site) => site.approvePlan(plan)),
  );

  const ingested = await stage(
    "Reading DICOM into each site's cache",
    (say) => ingestAll(hospitals, sites, sizePx, cores, say),
    (results) => describeIngest(results),
  );
  const pooledSite = options.data === null ? null : (sites[0] ?? null);
  if (pooledSite !== null) {
    await stage("Reading all hospitals' images once more, for the comparison with pooled labels", (say) =>
      ingestPooled(hospitals, pooledSite, folders.work, { sizePx, threads: cores }, say),
    );
  }

  const startedAt = around.nowMs();
  const status = await stage(
    `Training together for ${options.rounds} rounds`,
    (say) => trainTogether(sites, coordinator, coordinatorHome, say),
    describeTraining,
  );
  const trainingMs = around.nowMs() - startedAt;

  if (options.own) {
    await stage("Training each site's own encoder, as many steps on its images alone", (say) =>
      trainAlone(sites, options.rounds, say),
    );
  }
  const fineTuned = await stage("Fine-tuning classifiers with few labels", (say) =>
    fineTune({ hospitals, sites, pooledSite, options, say }),
  );
  const reconstructions = await stage("Reconstructing masked images", () =>
    eachAtMost(cores, sites, async (site) => {
      const folder = join(folders.work, "reconstructions", site.site);
      await site.reconstruct("test", RECONSTRUCTED_IMAGES, folder);
      return readReconstructions(site.site, folder, await readdir(folder));
    }),
  );
  return { hospitals, ingested, status, fineTuned, reconstructions, steps, trainingMs };
}

function describeTraining(status: FederationStatus): string {
  const losses = lossesOf(status);
  const fall = lossFall(losses);
  const last = losses.at(-1);
  if (last === undefined) return FEDERATION;
  return `reconstruction loss ${last.toFixed(3)}${fall === null ? "" : `, ${(100 * fall).toFixed(0)} % below the first round's`}`;
}

function describeIngest(ingested: readonly Ingested[]): string {
  const used = ingested.reduce((sum, { train }) => sum + train.used, 0);
  const aside = ingested.reduce(
    (sum, { train }) => sum + Object.values(train.quarantined).reduce((a, b) => a + b, 0),
    0,
  );
  return `${used} images, ${aside} files set aside`;
}
