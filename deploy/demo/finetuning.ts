/** Few labels, three encoders: the comparison that the demo is about. */
import type { FinetuneResult, SiteCommands } from "./commands.ts";
import { countClasses, type Hospitals } from "./hospitals.ts";
import type { DemoOptions } from "./options.ts";

export interface FineTuned {
  readonly sites: readonly { readonly site: string; readonly result: FinetuneResult }[];
  /** All hospitals' labels in one place, from scratch and from the federated encoder; null if not asked for. */
  readonly pooled: FinetuneResult | null;
  readonly question: string;
}

/** With fewer labels than this at a site, the draw of the labels decides and not the encoder. */
const LEAST_LABELS = 16;
/** Passes over a site's few labels: fewer than the site's default, to keep the demo short. */
const SITE_EPOCHS = 40;
/** The class that the others are told from, where it exists. */
export const NEGATIVE = "normal";

interface Request {
  readonly hospitals: Hospitals;
  readonly sites: readonly SiteCommands[];
  /** The site that holds the cache `pooled`. */
  readonly pooledSite: SiteCommands | null;
  readonly options: DemoOptions;
  readonly say: (text: string) => void;
}

export async function fineTune({ hospitals, sites, pooledSite, options, say }: Request): Promise<FineTuned> {
  const labelled = hospitals.sites.filter(({ labels }) => labels !== null);
  const counts = new Map<string, ReadonlyMap<string, number>>(
    await Promise.all(
      labelled.map(async ({ site, labels }) => [site, await countClasses(labels ?? "")] as const),
    ),
  );
  const classes = [...new Set([...counts.values()].flatMap((each) => [...each.keys()]))].sort();
  const negative = classes.includes(NEGATIVE) ? NEGATIVE : null;
  const common = { test: "test", negative };
  // With pooled labels the seeds go there, where the number to compare with is; a site then has one.
  const siteSeeds = pooledSite === null ? options.seeds : 1;
  const from = options.own ? ["scratch", "own", "global"] : ["scratch", "global"];

  const where = new Map<string, string>();
  const report = (name: string) => (line: Readonly<Record<string, unknown>>) => {
    const { run, runs } = line;
    if (typeof run !== "number" || typeof runs !== "number") return;
    where.set(name, `${name} ${run} of ${runs}`);
    say([...where.values()].join(" · "));
  };
  const atSites = sites.flatMap((site) => {
    const all = [...(counts.get(site.site)?.values() ?? [])].reduce((sum, n) => sum + n, 0);
    if (all === 0) return [];
    const few = Math.min(all, Math.max(LEAST_LABELS, Math.round(options.labelFraction * all)));
    const labels = ["--label-count", String(few)];
    return [
      site
        .finetune(
          { ...common, train: "train", labels, from, seeds: siteSeeds, epochs: SITE_EPOCHS },
          report(site.site),
        )
        .then((result) => ({ site: site.site, result })),
    ];
  });
  const pooled = pooledSite?.finetune(
    {
      ...common,
      train: "pooled",
      labels: ["--label-fraction", String(options.labelFraction)],
      seeds: options.seeds,
      epochs: null,
      from: ["scratch", "global"],
    },
    report("pooled labels"),
  );
  const [results, pooledResult] = await Promise.all([Promise.all(atSites), pooled ?? null]);
  return { sites: results, pooled: pooledResult, question: ask(classes, negative) };
}

function ask(classes: readonly string[], negative: string | null): string {
  const words = classes.filter((name) => name !== negative).map((name) => name.replaceAll("_", " "));
  return negative === null ? words.join(", ") : `${words.join(" or ")} against ${negative}`;
}
