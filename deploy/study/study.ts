/** The study from beginning to end. Each stage is noted when it is done and left out the next time. */
import { cp, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parsePlan } from "@consilium/shared/plan";
import type { Children } from "../demo/children.ts";
import { invite, serveCoordinator, SiteCommands } from "../demo/commands.ts";
import { eachAtMost } from "../demo/concurrency.ts";
import { NEGATIVE } from "../demo/finetuning.ts";
import { countClasses, findHospitals, type Hospitals } from "../demo/hospitals.ts";
import { joinCsv } from "../demo/ingesting.ts";
import { makePhantoms } from "../demo/phantom/make.ts";
import { demoPlan } from "../demo/plan.ts";
import type { Progress, Say } from "../demo/progress.ts";
import { trainAlone, trainTogether } from "../demo/training.ts";
import type { Cell, Journal } from "./journal.ts";
import type { StudyOptions } from "./options.ts";

export interface Surroundings {
  readonly children: Children;
  /** Homes, phantoms, caches; kept until the study is thrown away. */
  readonly work: string;
  readonly journal: Journal;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly cores: number;
}

/** @throws ConsiliumError, ChildFailure; the children are the caller's to end in either case */
export async function runStudy(options: StudyOptions, around: Surroundings): Promise<void> {
  const { children, work, journal, progress, signal, cores } = around;
  const stage = async (name: string, title: string, run: (say: Say) => Promise<void>): Promise<void> => {
    signal.throwIfAborted();
    if (journal.isDone(name)) {
      progress.note(`  ${title}: done before`);
      return;
    }
    await progress.step(title, run);
    await journal.finish(name);
  };

  const data = options.data ?? join(work, "phantoms");
  if (options.data === null) {
    const { seed, images } = options;
    await stage("phantoms", "Drawing phantom radiographs", (say) =>
      makePhantoms(
        data,
        { seed, images },
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
  const { cachePx: sizePx } = plan;
  const threads = Math.max(1, Math.floor(cores / hospitals.sites.length));
  const sites = hospitals.sites.map(
    ({ site }) => new SiteCommands(children, site, join(work, "sites", site), threads),
  );

  if (!journal.isDone("federated")) {
    const home = join(work, "coordinator");
    const file = join(work, "plan.json");
    await writeFile(file, JSON.stringify(plan, null, 2));
    const coordinator = await serveCoordinator(children, { home, port: 0, plan: file });
    await stage("enrolled", `Enrolling ${sites.map(({ site }) => site).join(", ")}`, () =>
      eachAtMost(cores, sites, async (site) => {
        await rm(site.home, { recursive: true, force: true });
        await site.init();
        await site.join(coordinator.url, await invite(children, home, site.site), plan);
        // On behalf of the hospitals, as in the demo.
        await site.approvePlan(plan);
      }).then(() => undefined),
    );
    await stage("read", "Reading DICOM into each site's cache", (say) =>
      eachAtMost(cores, sites, async (site) => {
        const own = hospitals.sites.find((hospital) => hospital.site === site.site);
        if (own === undefined) throw new Error(`no folder belongs to ${site.site}`);
        await site.ingest(own.images, "train", own.labels, { sizePx, threads: 1 });
        say(`${site.site} has read its images`);
      }).then(() => undefined),
    );
    await stage("federated", `Training together for ${options.rounds} rounds`, async (say) => {
      await trainTogether(sites, coordinator, home, say);
    });
  }
  if (options.encoders.includes("alone")) {
    await stage("alone", "Training each site's own encoder, as many steps on its images alone", (say) =>
      trainAlone(sites, options.rounds, say),
    );
  }

  const judge = new SiteCommands(children, "all together", join(work, "sites", "all-together"), cores);
  await stage("judge", "Putting all images and labels in one place, for comparison", async (say) => {
    const [first] = sites;
    if (first === undefined) throw new Error("no site");
    await rm(judge.home, { recursive: true, force: true });
    // A home is a folder: this one has the federation's encoder and plan, and other images.
    await cp(first.home, judge.home, {
      recursive: true,
      filter: (source) => !source.startsWith(join(first.home, "caches")),
    });
    const labels = join(work, "pooled-labels.csv");
    await writeFile(labels, await joinCsv(hospitals.sites.flatMap((each) => each.labels ?? [])));
    await judge.ingest(await poolImages(hospitals, work), "pooled", labels, { sizePx, threads: cores });
    say("now the test images");
    await judge.ingest(hospitals.test.images, "test", hospitals.test.labels, { sizePx, threads: cores });
  });
  if (options.encoders.includes("pooled")) {
    await stage("pooled", "Training an encoder on all images in one place", async (say) => {
      await judge.pretrain(options.rounds, sayRound(say), "pooled");
      await cp(ownModel(judge), pooledModel(work));
    });
  }
  await measure(options, around, { hospitals, sites, judge });
}

interface Measured {
  readonly hospitals: Hospitals;
  readonly sites: readonly SiteCommands[];
  readonly judge: SiteCommands;
}

async function measure(
  options: StudyOptions,
  { journal, progress, signal, work }: Surroundings,
  { hospitals, sites, judge }: Measured,
): Promise<void> {
  const { seeds, modes, fractions, epochs } = options;
  const negative = await negativeClass(hospitals);
  for (const { encoder, from, weights } of encodersOf(options, sites, work)) {
    if (weights !== null) await cp(weights, ownModel(judge));
    for (const fraction of fractions) {
      const left = modes.filter((mode) => !journal.hasCell(encoder, fraction, mode, seeds));
      if (left.length === 0) continue;
      signal.throwIfAborted();
      await progress.step(`${encoder}, ${100 * fraction} % of the labels`, async (say) => {
        const { labels, test, rows, summary } = await judge.finetune(
          {
            train: "pooled",
            test: "test",
            negative,
            labels: ["--label-fraction", String(fraction)],
            seeds,
            epochs,
            from: [from],
            modes: left,
          },
          ({ run, runs }) => {
            if (typeof run === "number" && typeof runs === "number") say(`run ${run} of ${runs}`);
          },
        );
        const cells = summary.map(({ mode, auroc, accuracy }): Cell => {
          const runs = rows.filter((row) => row.mode === mode).map((row) => row.auroc.value);
          return {
            encoder,
            fraction,
            mode,
            labels: labels.images,
            patients: labels.patients,
            auroc: interval(auroc),
            accuracy: interval(accuracy),
            runs,
          };
        });
        await journal.add(cells, { images: test.images, patients: test.patients });
      });
    }
  }
}

interface Contestant {
  readonly encoder: string;
  readonly from: "scratch" | "own" | "global";
  /** File to put where the home's own encoder is. */
  readonly weights: string | null;
}

function encodersOf(
  { encoders }: StudyOptions,
  sites: readonly SiteCommands[],
  work: string,
): readonly Contestant[] {
  const all: Readonly<Record<StudyOptions["encoders"][number], readonly Contestant[]>> = {
    scratch: [{ encoder: "scratch", from: "scratch", weights: null }],
    alone: sites.map((site) => ({ encoder: `alone ${site.site}`, from: "own", weights: ownModel(site) })),
    federated: [{ encoder: "federated", from: "global", weights: null }],
    pooled: [{ encoder: "pooled", from: "own", weights: pooledModel(work) }],
  };
  return encoders.flatMap((encoder) => all[encoder]);
}

const ownModel = ({ home }: SiteCommands): string => join(home, "models", "own.ckpt");
const pooledModel = (work: string): string => join(work, "pooled.ckpt");

/** A folder of links to the hospitals' images: the test images are not among them. */
async function poolImages(hospitals: Hospitals, work: string): Promise<string> {
  const folder = join(work, "all-images");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const { site, images } of hospitals.sites) await symlink(images, join(folder, site), "dir");
  return folder;
}

async function negativeClass({ sites }: Hospitals): Promise<string | null> {
  for (const { labels } of sites)
    if (labels !== null && (await countClasses(labels)).has(NEGATIVE)) return NEGATIVE;
  return null;
}

const interval = ({ value, low, high }: Cell["auroc"]): Cell["auroc"] => ({ value, low, high });

const sayRound =
  (say: Say) =>
  ({ round, loss }: Readonly<Record<string, unknown>>): void => {
    if (typeof round === "number")
      say(`round ${round}${typeof loss === "number" ? ` · loss ${loss.toFixed(3)}` : ""}`);
  };
