import { ConsiliumError } from "@consilium/shared/errors";
import { planHash, type Plan } from "@consilium/shared/plan";
import { taughtIn } from "@consilium/shared/pretext-schema";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { absenceOf, CLASS_SOURCES, type ClassSource } from "../../dataset/class-source.ts";
import { assertApproved } from "../../dataset/intake.ts";
import type { LabelBudget } from "../../dataset/splits.ts";
import { describeResult, ORIGIN_TEXT } from "../../downstream/describe.ts";
import type { SegmentationHead } from "../../downstream/segmentation/network.ts";
import {
  DOWNSTREAM_MODES,
  DOWNSTREAM_TASKS,
  type DownstreamMode,
  type DownstreamTask,
  type EncoderOrigin,
  type EncoderSources,
  type Exemplar,
  type FinetuneOptions,
  type FinetuneOutcome,
  type FinetuneProgress,
} from "../../downstream/types.ts";
import { readHead } from "../../federation/outbox.ts";
import { writeFileAtomic } from "../../home/files.ts";
import type { Home } from "../../home/home.ts";
import { holdsModel, readModel } from "../../home/models.ts";
import { storeTaskModel } from "../../home/task-models.ts";
import { fraction, handle, listOf, oneOf, siteCommand, wholeNumber } from "../context.ts";
import { chooseEngine, withEngineOptions, type EngineCliOptions } from "../engine-options.ts";
import type { CliPorts } from "../ports.ts";

interface Options extends EngineCliOptions {
  readonly task: DownstreamTask;
  readonly train: string;
  readonly test?: string;
  readonly negative?: string;
  readonly classesFrom?: ClassSource["from"];
  readonly finding?: string;
  readonly head?: SegmentationHead;
  readonly labelFraction?: number;
  readonly labelCount?: number;
  readonly seeds?: number;
  readonly modes?: readonly DownstreamMode[];
  readonly from?: readonly EncoderOrigin[];
  readonly epochs?: number;
  readonly validation?: number;
  readonly save?: string;
  readonly saveFrom?: EncoderOrigin | "federated";
  readonly saveMode?: DownstreamMode;
  readonly report?: string;
}

const ORIGINS = ["scratch", "own", "global"] as const satisfies readonly EncoderOrigin[];
const HEADS = ["linear", "unetr"] as const satisfies readonly SegmentationHead[];

export function finetuneCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "finetune",
    "Train and test on this site's labels: classes, masks or boxes.",
    `Compares encoders on the same labels and the same test patients: at random (scratch), from this site alone (own), from
the federation (global). Ways: probe, the head alone on the frozen encoder; finetune, the whole network; released, the network
as the federation made it, where the plan taught one (--pretext classify, findings or masks, then --head linear), with this site's
own head where heads stay (--head site in the plan). The task goes by the labels that ingest was given: classes are classified (AUROC, accuracy), findings told one by one, several on an image (AUROC of each
and their mean), masks segmented (Dice, HD95), boxes localized (mAP@.5, FROC). Under a plan for volumes all but boxes are learned from
volumes. Each number comes with a 95 % interval (bootstrap by patient). Nothing leaves this site.`,
    `consilium-site finetune --test test --negative normal
     consilium-site finetune --label-fraction 0.01 --seeds 5 --modes finetune
     consilium-site finetune --from global --modes finetune,released --save pneumonia
     consilium-site finetune --task segmentation --from global --modes finetune,released --head linear
     consilium-site finetune --seeds 5 --save pneumonia --save-from scratch
     consilium-site finetune --classes-from masks --finding nodule
     consilium-site finetune --task findings --test test --save findings
     consilium-site finetune --task segmentation --test test --label-count 20 --report masks.html
     consilium-site finetune --task localization --test test --save lungs
     consilium-site finetune --label-count 50 --from scratch,global --json`,
  )
    .option(
      "--task <name>",
      DOWNSTREAM_TASKS.join(", "),
      oneOf("--task", DOWNSTREAM_TASKS),
      DOWNSTREAM_TASKS[0],
    )
    .option("--train <name>", "cache with labels to train on", "train")
    .option("--test <name>", "cache with labels to test on (default: part of the training patients)")
    .option("--negative <class>", "classification: this class against all others (default: all classes)")
    .option(
      "--classes-from <kind>",
      "classification, findings: classes, findings, or the presence of boxes or masks (default: what the task is named after)",
      oneOf("--classes-from", CLASS_SOURCES),
    )
    .option("--finding <name>", "classification: this finding against its absence")
    .option(
      "--head <name>",
      "segmentation, of volumes too: linear, unetr (default: unetr; linear with --modes released)",
      oneOf("--head", HEADS),
    )
    .option("--label-fraction <f>", "train on this share of the labels", fraction("--label-fraction"))
    .option("--label-count <n>", "train on this many labels", wholeNumber("--label-count", 1))
    .option("--seeds <n>", "repetitions, each with its own labels", wholeNumber("--seeds", 1))
    .option(
      "--modes <list>",
      "probe, finetune, released (default: finetune, for classes probe too, and released where it is possible)",
      listOf("--modes", DOWNSTREAM_MODES),
    )
    .option("--from <list>", "scratch, own, global (default: those that are here)", listOf("--from", ORIGINS))
    .option("--epochs <n>", "passes over the labels", wholeNumber("--epochs", 1))
    .option(
      "--validation <f>",
      "keep back this share of the labels' patients, and stop when they get no better (default: none)",
      fraction("--validation"),
    )
    .option(
      "--save <name>",
      "keep a network under this name: of the last encoder and mode, first seed, unless said otherwise",
    )
    .option(
      "--save-from <name>",
      "whose network to keep: scratch, own, global (or federated)",
      oneOf("--save-from", [...ORIGINS, "federated"] as const),
    )
    .option("--save-mode <name>", "and of which mode", oneOf("--save-mode", DOWNSTREAM_MODES))
    .option(
      "--report <file>",
      "write a page with curves, calibration and the worst cases: pictures, for this site only",
    );
  return handle<Options>(withEngineOptions(command, ports), ports, async (context) => {
    const { options, output, openHome } = context;
    const { task } = options;
    assertOptionsFit(options);
    const labels = labelBudget(options);
    const finding = options.finding ?? null;
    const save = options.save === undefined ? null : parseName("--save", options.save);
    const home = await openHome();
    const { site, plan } = await home.joined();
    const head = staysAtSite(plan) ? await readHead(home.federationFolder, planHash(plan)) : null;
    const encoders = { ...(await encoderSources(home, options.from)), head };
    if (encoders.global === null && options.from === undefined) {
      output.event("encoder-missing", {}, "no federated encoder here yet: consilium-site run");
    }
    const trainDir = home.cacheFolder(parseName("--train", options.train));
    await assertApproved(trainDir);
    const testDir = options.test === undefined ? null : home.cacheFolder(parseName("--test", options.test));
    const engine = await chooseEngine(options, output);
    const { finetuneInThread } = await import("../../downstream/thread.ts");
    const { finetuneOptions } = await import("../../downstream/finetune-defaults.ts");
    const defaults = finetuneOptions(task, plan.model.dimensions);
    const { settings } = defaults;
    const maskHead = headFor(options, defaults.head);
    const modes = modesFor(options, plan, encoders, { modes: defaults.modes, head: maskHead });
    const taught = taughtIn(plan.pretext);
    const keep = keptBy(options, encoders, modes);
    const outcome = await finetuneInThread(
      {
        task,
        model: plan.model,
        volume: plan.volume,
        trainDir,
        testDir,
        encoders,
        classes: { from: options.classesFrom ?? null, finding },
        options: {
          ...defaults,
          labels,
          modes,
          releasedClasses: modes.includes("released") ? (taught?.classes ?? null) : null,
          testFraction: taught?.testShare ?? defaults.testFraction,
          seeds: options.seeds ?? defaults.seeds,
          negativeClass: options.negative ?? (finding === null ? null : absenceOf(finding)),
          head: maskHead,
          keep,
          report: options.report !== undefined,
          validation: options.validation ?? defaults.validation,
          settings: options.epochs === undefined ? settings : { ...settings, epochs: options.epochs },
        },
        engine,
      },
      (progress) => {
        const { run, step, steps } = progress;
        output.progress({
          kind: `run ${run}`,
          text: progressText(progress),
          last: step === steps,
          data: { phase: "finetuning", done: step, total: steps, ...progress },
        });
      },
      ports.signal,
    );
    const { result, exemplar } = outcome;
    if (options.report !== undefined) {
      const { renderFinetuneReport } = await import("../../downstream/report/page.ts");
      const place = { site, train: options.train, test: options.test ?? null, saved: save };
      await writeFileAtomic(options.report, renderFinetuneReport(outcome, place));
      output.event("report", {}, "the report is written; it holds pictures of patients and stays here");
    }
    const { describeBetter, describeKept, keptNetwork, withoutFall } =
      await import("../../downstream/kept.ts");
    const kept = save === null || exemplar === null ? null : keptNetwork(result, exemplar);
    if (save !== null) {
      const model = await saveModel(home, save, outcome, plan.model, maskHead);
      const better = kept === null ? null : describeBetter(kept);
      output.event(
        "saved",
        { name: save, sha256: model, kept },
        [
          `kept as ${save}: ${kept === null ? "" : describeKept(kept)}`,
          ...(better === null ? [] : [`  ${better}`]),
        ].join("\n"),
      );
    }
    const flat = withoutFall(result);
    const { labels: trained } = result;
    const remarks = [
      ...(options.labelCount !== undefined && options.labelCount > trained.images
        ? [
            `Only ${trained.images} labels are there to train on: --label-count ${options.labelCount} took them all.`,
          ]
        : []),
      ...flat,
    ];
    output.result(
      { ...result, examined: exemplar === null ? null : examinedRun(exemplar), kept, remarks },
      [describeResult(result), ...(remarks.length === 0 ? [] : ["", ...remarks])].join("\n"),
    );
  });
}

const staysAtSite = ({ pretext }: Plan): boolean => taughtIn(pretext)?.head === "site";

/** As finetune calls what a plan teaches. */
const TAUGHT_AS = { classify: "classification", findings: "findings", masks: "segmentation" } as const;

/** What makes masks of tokens: the federation's head is linear, and networks are compared with one head. */
function headFor({ head, modes }: Options, usual: SegmentationHead): SegmentationHead {
  return head ?? (modes?.includes("released") === true ? "linear" : usual);
}

/** @throws config.invalid if the federation's head is asked for, and there is none or it tells something else apart */
function modesFor(
  { task, modes, negative, classesFrom, finding }: Options,
  plan: Plan,
  { global, head }: EncoderSources,
  { modes: usual, head: maskHead }: Pick<FinetuneOptions, "modes" | "head">,
): readonly DownstreamMode[] {
  const taught = taughtIn(plan.pretext);
  const others = {
    task: taught !== null && TAUGHT_AS[taught.task] !== task,
    head: task === "segmentation" && maskHead !== "linear",
    negative,
    "classes-from": classesFrom,
    finding,
  };
  const reasons = Object.entries(others).flatMap(([name, value]) =>
    value === undefined || value === false ? [] : [`--${name}`],
  );
  const reason =
    taught === null
      ? "the federation trained no head: its plan learns without labels"
      : global === null
        ? "the federation's model is not here, or --from leaves global out"
        : staysAtSite(plan) && (head ?? null) === null
          ? "the plan's heads stay at the sites, and this one has none: it took part in no round, or was installed anew since"
          : reasons.length > 0
            ? `the federation's head tells what the plan teaches${taught.task === "masks" ? " and is linear" : ""}: it does not go with this ${reasons.join(", ")}`
            : null;
  if (modes === undefined) return reason === null ? [...usual, "released"] : usual;
  if (!modes.includes("released") || reason === null) return modes;
  throw new ConsiliumError("config.invalid", {
    detail: `(--modes released: ${reason})`,
    culprits: ["modes"],
  });
}

/** @throws config.invalid before anything is trained, if no network of that kind would be there to keep */
function keptBy(
  { save, saveFrom, saveMode, task }: Options,
  encoders: EncoderSources,
  modes: readonly DownstreamMode[],
): { readonly from: EncoderOrigin | null; readonly mode: DownstreamMode | null } {
  const mode = saveMode ?? null;
  const from = saveFrom === "federated" ? "global" : (saveFrom ?? null);
  const last = from === "global" || from === null ? modes : modes.filter((one) => one !== "released");
  const probes = task === "classification" && save !== undefined && (mode ?? last.at(-1)) === "probe";
  const reason =
    save === undefined && (from ?? mode) !== null
      ? "--save-from and --save-mode: give --save as well"
      : from !== null && (encoders[from] ?? false) === false
        ? `--save-from: ${from} is not among the encoders that are compared`
        : mode !== null && !modes.includes(mode)
          ? `--save-mode: ${mode} is not among the modes that are compared`
          : mode === "released" && from !== null && from !== "global"
            ? "--save-mode: only the federation's network was released"
            : probes
              ? PROBE_REASON
              : null;
  if (reason === null) return { from, mode };
  throw new ConsiliumError("config.invalid", { detail: `(${reason})`, culprits: ["save"] });
}

const PROBE_REASON = "--save: a probe of classes trains no network; add finetune to --modes, or --save-mode";

const examinedRun = ({ from, mode }: Exemplar) => ({ from, mode, seed: 1 });

/** @throws config.invalid */
function assertOptionsFit({ task, negative, classesFrom, finding, head, validation }: Options): void {
  const forClasses = { negative, finding };
  const misplaced = [
    ...Object.entries(forClasses).flatMap(([name, value]) =>
      task !== "classification" && value !== undefined ? [name] : [],
    ),
    ...(task !== "classification" && task !== "findings" && classesFrom !== undefined
      ? ["classes-from"]
      : []),
    ...(task !== "segmentation" && head !== undefined ? ["head"] : []),
  ];
  if (misplaced.length > 0) {
    throw new ConsiliumError("config.invalid", {
      detail: `(--${misplaced.join(", --")}: not for ${task})`,
      culprits: misplaced,
    });
  }
  if (validation === 1) {
    throw new ConsiliumError("config.invalid", {
      detail: "(--validation: give less than 1, so that some labels are left to train on)",
      culprits: ["validation"],
    });
  }
}

/** @throws config.invalid if no network was trained */
async function saveModel(
  home: Home,
  name: string,
  { result, exemplar }: FinetuneOutcome,
  model: Plan["model"],
  head: SegmentationHead,
): Promise<string> {
  if (exemplar?.model == null) {
    throw new ConsiliumError("config.invalid", {
      detail: `(${PROBE_REASON})`,
      culprits: ["save"],
    });
  }
  const { task, classes } = result;
  const about = {
    task,
    classes: [...classes],
    head: task === "segmentation" ? head : null,
    model,
    startedFrom: exemplar.from,
    trained: exemplar.mode,
  };
  return storeTaskModel(home, name, about, exemplar.model);
}

function labelBudget({ labelFraction, labelCount }: Options): LabelBudget | null {
  if (labelFraction !== undefined && labelCount !== undefined) {
    throw new ConsiliumError("config.invalid", {
      detail: "(give --label-fraction or --label-count, not both)",
      culprits: ["label-fraction", "label-count"],
    });
  }
  if (labelFraction !== undefined) return { fraction: labelFraction };
  return labelCount === undefined ? null : { count: labelCount };
}

/** What was asked for must be there; what was not asked for is compared if it is. @throws model.missing */
async function encoderSources(
  home: Home,
  from: readonly EncoderOrigin[] | undefined,
): Promise<EncoderSources> {
  const read = async (name: "own" | "global") => {
    const wanted = from === undefined ? await holdsModel(home, name) : from.includes(name);
    if (!wanted) return null;
    const { manifest, values } = await readModel(home, name);
    return { manifest, values };
  };
  return {
    scratch: from === undefined || from.includes("scratch"),
    own: await read("own"),
    global: await read("global"),
  };
}

function progressText({ run, runs, from, mode, seed, step, steps, loss }: FinetuneProgress): string {
  const at = steps > 1 ? ` · step ${step} of ${steps}` : "";
  return `run ${run} of ${runs} · ${ORIGIN_TEXT[from]}, ${mode}, seed ${seed}${at}${loss === null ? "" : ` · loss ${loss.toFixed(4)}`}`;
}
