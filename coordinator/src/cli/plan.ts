/** `plan`: writes a federation plan with every default filled in, for people to read before they sign up to it. */
import { writeFile } from "node:fs/promises";
import { parsePlan, planHash } from "@consilium/shared/plan";
import { ConsiliumError } from "@consilium/shared/errors";
import { USUAL_BATCH } from "@consilium/shared/pretext-schema";
import { lookAtStart, openStartingFile } from "./starting-file.ts";
import { PLAIN_WARNING, say, type Terminal } from "./terminal.ts";

export interface PlanOptions {
  readonly federation: string;
  readonly title: string;
  readonly rounds: number;
  readonly minSites?: number;
  readonly deadlineMinutes?: number;
  readonly seed?: number;
  readonly size?: string;
  readonly imagePx?: number;
  readonly patchPx?: number;
  readonly cachePx?: number;
  readonly channels?: number;
  readonly depthPx?: number;
  readonly patchDepthPx?: number;
  readonly cacheDepthPx?: number;
  readonly sliceSpacingMm?: number;
  readonly pixelSpacingMm?: number;
  readonly localEpochs?: number;
  readonly batchSize?: number;
  readonly learningRate?: number;
  readonly warmupRounds?: number;
  readonly pretext?: string;
  readonly maskRatio?: number;
  readonly classes?: readonly string[];
  readonly head?: string;
  readonly testShare?: number;
  readonly targetEpsilon?: number;
  readonly delta?: number;
  readonly privacyUnit?: string;
  readonly strategy?: string;
  readonly serverLearningRate?: number;
  readonly trim?: number;
  readonly byzantine?: number;
  readonly groupSites?: number;
  readonly proximalMu?: number;
  readonly heldOutShare?: number;
  readonly tolerance?: number;
  readonly patience?: number;
  readonly minImprovement?: number;
  readonly averageDecay?: number;
  readonly evaluate?: readonly string[];
  readonly evaluateMasks?: readonly string[];
  readonly frozenBlocks?: number;
  readonly lowRank?: number;
  readonly startFrom?: string;
  readonly startOrigin?: string;
  readonly plain?: boolean;
  readonly linkBits?: number;
  readonly examplesCap?: number;
  readonly out?: string;
  readonly force?: boolean;
}

/** @throws plan.invalid, config.invalid if the file exists; what lookAtStart throws */
export async function writePlan(options: PlanOptions, terminal: Terminal): Promise<void> {
  const start = await startOf(options);
  const plan = parsePlan(
    withoutUndefined({
      federation: options.federation,
      title: options.title,
      rounds: options.rounds,
      minSites: options.minSites,
      roundDeadlineMs:
        options.deadlineMinutes === undefined ? undefined : Math.round(options.deadlineMinutes * 60_000),
      seed: options.seed,
      cachePx: options.cachePx,
      ...volumePart(options),
      model: withoutUndefined({
        size: options.size,
        imagePx: options.imagePx,
        patchPx: options.patchPx,
        channels: options.channels,
        dimensions: options.depthPx === undefined ? 2 : 3,
        depthPx: options.depthPx,
        patchDepthPx: options.patchDepthPx,
      }),
      pretext: pretextOf(options),
      training: withoutUndefined({
        localEpochs: options.localEpochs,
        batchSize: options.batchSize ?? usualBatch(options.pretext),
        learningRate: options.learningRate,
        warmupRounds: options.warmupRounds ?? Math.min(1, options.rounds),
        proximalMu: options.proximalMu,
        frozenBlocks: options.frozenBlocks,
        lowRank: options.lowRank === undefined ? undefined : { rank: options.lowRank },
      }),
      privacy: privacyOf(options),
      aggregation: withoutUndefined({
        strategy: strategyOf(options),
        secure: options.plain === true ? "plain" : undefined,
        linkBits: options.linkBits,
        examplesCap: options.examplesCap,
      }),
      acceptance: acceptanceOf(options),
      stop: stopOf(options),
      start: start?.plan,
      average: options.averageDecay === undefined ? undefined : { decay: options.averageDecay },
      health: healthOf(options),
    }),
  );
  start?.assertFits(plan.model);
  const text = `${JSON.stringify(plan, null, 2)}\n`;
  if (options.out === undefined) {
    terminal.print(terminal.json ? JSON.stringify(plan) : text.trimEnd());
    return;
  }
  try {
    await writeFile(options.out, text, { flag: options.force === true ? "w" : "wx" });
  } catch (cause) {
    const exists = cause instanceof Error && "code" in cause && cause.code === "EEXIST";
    throw new ConsiliumError("config.invalid", {
      detail: exists ? "(the file exists; --force replaces it)" : "(the plan cannot be written there)",
      culprits: ["out"],
      cause,
    });
  }
  const hash = planHash(plan);
  say(
    terminal,
    { event: "result", federation: plan.federation, planHash: hash },
    `Plan ${hash.slice(0, 12)} written.${plan.start === undefined ? "" : START_NEXT}${plan.aggregation.secure === "plain" ? `\n${PLAIN_WARNING}` : ""}`,
  );
}

/** The plan has its hash alone; the bytes go with the first start. */
const START_NEXT =
  "\nThe coordinator needs the file once: consilium-coordinator serve --plan PLAN --start-from FILE. Sites fetch it from there.";

/** @throws config.invalid, what lookAtStart throws */
async function startOf({ startFrom, startOrigin: origin }: PlanOptions) {
  if (startFrom !== undefined) {
    const { plan, ...rest } = await lookAtStart(await openStartingFile(startFrom));
    return { ...rest, plan: withoutUndefined({ ...plan, origin }) };
  }
  if (origin === undefined) return undefined;
  const detail = "(--start-origin says of --start-from where that comes from)";
  throw new ConsiliumError("config.invalid", { detail, culprits: ["startOrigin"] });
}

/** A setting that the strategy does not have is a wrong field of the plan. */
function strategyOf({ strategy, serverLearningRate, trim, byzantine, groupSites }: PlanOptions): unknown {
  const settings = withoutUndefined({ learningRate: serverLearningRate, trim, byzantine, groupSites });
  const none = Object.keys(settings).length === 0;
  if (none && (strategy === undefined || strategy === "fedavg")) return strategy;
  return { name: strategy ?? "fedavg", ...settings };
}

function acceptanceOf({ heldOutShare, tolerance }: PlanOptions): object | undefined {
  const settings = withoutUndefined({ heldOutShare, tolerance });
  return Object.keys(settings).length === 0 ? undefined : settings;
}

function stopOf({ patience, minImprovement }: PlanOptions): object | undefined {
  const settings = withoutUndefined({ patience, minImprovement });
  return Object.keys(settings).length === 0 ? undefined : settings;
}

/** A depth makes it a plan for volumes; what is missing then is named as a wrong field of the plan. */
function volumePart({ depthPx, cacheDepthPx, sliceSpacingMm, pixelSpacingMm }: PlanOptions): object {
  const volume = withoutUndefined({
    depthPx: cacheDepthPx ?? depthPx,
    sliceSpacingMm,
    pixelSpacingMm,
  });
  return Object.keys(volume).length === 0 ? {} : { volume };
}

/** A setting that the task does not have is a wrong field of the plan. */
const pretextOf = ({
  pretext,
  maskRatio,
  classes,
  head,
  testShare,
  targetEpsilon,
  privacyUnit,
}: PlanOptions): object =>
  withoutUndefined({
    task: pretext ?? "mae",
    maskRatio,
    classes,
    head,
    testShare,
    balanceClasses:
      pretext === "classify" && targetEpsilon !== undefined && privacyUnit !== "site" ? false : undefined,
  });

/** A head is evaluated, and patients are counted, unless the plan forbids that scores and counts leave. */
function healthOf({
  pretext,
  evaluate,
  evaluateMasks,
  classes,
  depthPx,
  plain,
  targetEpsilon,
}: PlanOptions): object | undefined {
  const isFree = plain !== true && targetEpsilon === undefined;
  const taught = (task: string) => (isFree && pretext === task ? classes : undefined);
  const evaluated = evaluate ?? taught("classify");
  const findings = taught("findings");
  // Masks of volumes are learned, and not evaluated.
  const masks = evaluateMasks ?? (depthPx === undefined ? taught("masks") : undefined);
  const health = {
    ...(evaluated && { evaluation: { classes: evaluated } }),
    ...(findings && { findings: { classes: findings } }),
    ...(masks && { masks: { classes: masks } }),
    ...(isFree && { patients: true }),
  };
  return Object.keys(health).length === 0 ? undefined : health;
}

/** An unknown task is left to the plan's own check. */
const usualBatch = (task: string | undefined): number | undefined =>
  Object.entries(USUAL_BATCH).find(([name]) => name === task)?.[1];

/** Without a target, a delta or unit alone is a plan that parsing refuses. */
function privacyOf({ targetEpsilon, delta, privacyUnit }: PlanOptions): object | undefined {
  const given = withoutUndefined({ unit: privacyUnit, targetEpsilon, delta });
  return Object.keys(given).length === 0 ? undefined : { unit: "patient", ...given };
}

function withoutUndefined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Partial<T>;
}
