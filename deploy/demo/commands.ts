/** The two command lines as functions: what goes in, and what comes back, parsed. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConsiliumError } from "@consilium/shared/errors";
import { planHash, type Plan } from "@consilium/shared/plan";
import { z } from "zod";
import type { Children, JsonLine } from "./children.ts";
import { evaluationRowSchema, type Interval } from "./report/types.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const SITE = join(root, "site-agent/bin/consilium-site.mjs");
const COORDINATOR = join(root, "coordinator/bin/consilium-coordinator.mjs");

const count = z.int().min(0);

const listeningSchema = z.looseObject({
  event: z.literal("listening"),
  url: z.url(),
  dashboardUrl: z.url(),
});

export const ingestSchema = z.looseObject({
  files: count,
  used: count,
  quarantined: z.record(z.string(), count),
  labels: z.looseObject({ matched: count, unmatched: count, duplicates: count }).nullish(),
});
export type IngestResult = z.infer<typeof ingestSchema>;

const setSizeSchema = z.looseObject({ images: count, patients: count });

/** An interval whose bounds the test patients could not tell is as wide as what is measured. @param least that can be measured; 1 is the most */
const toldSchema = (least: number) =>
  z
    .looseObject({ value: z.number(), low: z.number().nullable(), high: z.number().nullable() })
    .transform(({ value, low, high }): Interval => ({ value, low: low ?? least, high: high ?? 1 }));
const scores = { auroc: toldSchema(0), accuracy: toldSchema(0) };
export const finetuneSchema = z.looseObject({
  labels: setSizeSchema,
  test: setSizeSchema,
  rows: z.array(z.looseObject({ ...evaluationRowSchema.shape, ...scores })),
  summary: z.array(
    z.looseObject({
      from: evaluationRowSchema.shape.from,
      mode: evaluationRowSchema.shape.mode,
      aurocMean: z.number(),
      accuracyMean: z.number(),
      ...scores,
      aurocGain: toldSchema(-1).nullable(),
    }),
  ),
});
export type FinetuneResult = z.infer<typeof finetuneSchema>;

export interface FinetuneArguments {
  readonly train: string;
  readonly test: string;
  readonly negative: string | null;
  readonly labels: readonly string[];
  readonly seeds: number;
  /** Null leaves it to the site's defaults. */
  readonly epochs: number | null;
  readonly from: readonly string[];
  readonly modes?: readonly ("probe" | "finetune")[];
}

type OnLine = (line: JsonLine) => void;

export interface ServingCoordinator {
  readonly url: string;
  readonly dashboardUrl: string;
  /** Rejects if the coordinator ends. */
  readonly failed: Promise<never>;
}

export async function serveCoordinator(
  children: Children,
  { home, port, plan }: { home: string; port: number; plan: string },
): Promise<ServingCoordinator> {
  const args = [
    "serve",
    "--home",
    home,
    "--host",
    "127.0.0.1",
    "--port",
    String(port),
    "--plan",
    plan,
    "--json",
  ];
  const { line, failed } = await children.serve(
    { name: "coordinator", script: COORDINATOR, args },
    ({ event }) => event === "listening",
  );
  const { url, dashboardUrl } = understood(listeningSchema, line, "coordinator serve");
  return { url, dashboardUrl, failed };
}

/** @returns the site's one-time token */
export async function invite(children: Children, home: string, site: string): Promise<string> {
  const line = await children.run({
    name: `coordinator invite ${site}`,
    script: COORDINATOR,
    args: ["invite", "--home", home, "--site", site, "--json"],
    // The token opens the federation: it belongs in no log.
    secret: true,
  });
  return understood(z.looseObject({ token: z.string() }), line, "coordinator invite").token;
}

/** One hospital's command line, always with the same home folder. */
export class SiteCommands {
  readonly #children: Children;
  readonly site: string;
  readonly home: string;
  readonly #threads: string;

  /** @param threads for training, each */
  constructor(children: Children, site: string, home: string, threads: number) {
    this.#children = children;
    this.site = site;
    this.home = home;
    this.#threads = String(threads);
  }

  #run(command: string, args: readonly string[], onLine?: OnLine): Promise<JsonLine> {
    return this.#children.run({
      name: `${this.site} ${command}`,
      script: SITE,
      args: [command, ...args, "--home", this.home, "--json"],
      ...(onLine === undefined ? {} : { onLine }),
    });
  }

  async init(): Promise<void> {
    await this.#run("init", ["--site", this.site]);
  }

  async join(coordinator: string, token: string, { aggregation }: Plan): Promise<void> {
    const accept = aggregation.secure === "plain" ? ["--accept-plain"] : [];
    await this.#run("join", ["--coordinator", coordinator, "--token", token, ...accept]);
  }

  /** What a person at the hospital types once they have read the plan. */
  async approvePlan(plan: Plan): Promise<void> {
    await this.#run("plan", ["approve", planHash(plan)]);
  }

  async ingest(
    folder: string,
    cache: string,
    labels: string | null,
    { sizePx, threads }: { sizePx: number; threads: number },
    onLine?: OnLine,
  ): Promise<IngestResult> {
    const args = [folder, "--cache", cache, "--size", String(sizePx), "--threads", String(threads)];
    if (labels !== null) args.push("--labels", labels);
    return understood(ingestSchema, await this.#run("ingest", args, onLine), "ingest");
  }

  /** Takes part until the federation has finished. */
  async takePart(onLine?: OnLine): Promise<void> {
    await this.#run("run", ["--threads", this.#threads], onLine);
  }

  async pretrain(rounds: number, onLine?: OnLine, cache = "train"): Promise<void> {
    const args = ["--cache", cache, "--rounds", String(rounds), "--threads", this.#threads];
    await this.#run("pretrain", args, onLine);
  }

  async finetune(request: FinetuneArguments, onLine?: OnLine): Promise<FinetuneResult> {
    const { train, test, negative, labels, seeds, epochs, from, modes = ["finetune"] } = request;
    const args = ["--train", train, "--test", test, "--modes", modes.join(","), "--from", from.join(",")];
    if (negative !== null) args.push("--negative", negative);
    if (epochs !== null) args.push("--epochs", String(epochs));
    args.push(...labels, "--seeds", String(seeds), "--threads", this.#threads);
    return understood(finetuneSchema, await this.#run("finetune", args, onLine), "finetune");
  }

  async reconstruct(cache: string, images: number, folder: string): Promise<void> {
    await this.#run("reconstruct", ["--cache", cache, "--count", String(images), "--out", folder]);
  }
}

function understood<T extends z.ZodType>(schema: T, line: JsonLine, command: string): z.infer<T> {
  const parsed = schema.safeParse(line);
  if (!parsed.success) {
    const fields = parsed.error.issues.map(({ path }) => path.join("."));
    throw new ConsiliumError("protocol.invalid-message", {
      detail: `(${command} answered without ${fields.join(", ")})`,
      culprits: fields,
    });
  }
  return parsed.data;
}
