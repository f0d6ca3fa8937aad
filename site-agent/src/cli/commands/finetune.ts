import { ConsiliumError } from "@consilium/shared/errors";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { absenceOf, CLASS_SOURCES, type ClassSource } from "../../dataset/class-source.ts";
import { assertApproved } from "../../dataset/intake.ts";
import type { LabelBudget } from "../../dataset/splits.ts";
import type { Estimate } from "../../downstream/bootstrap.ts";
import type {
  DownstreamMode,
  EncoderOrigin,
  EncoderSources,
  FinetuneProgress,
  FinetuneResult,
} from "../../downstream/types.ts";
import type { Home } from "../../home/home.ts";
import { holdsModel, readModel } from "../../home/models.ts";
import { fraction, handle, listOf, oneOf, siteCommand, wholeNumber } from "../context.ts";
import { chooseEngine, withEngineOptions, type EngineCliOptions } from "../engine-options.ts";
import type { CliPorts } from "../ports.ts";

interface Options extends EngineCliOptions {
  readonly train: string;
  readonly test?: string;
  readonly negative?: string;
  readonly classesFrom?: ClassSource["from"];
  readonly finding?: string;
  readonly labelFraction?: number;
  readonly labelCount?: number;
  readonly seeds?: number;
  readonly modes?: readonly DownstreamMode[];
  readonly from?: readonly EncoderOrigin[];
  readonly epochs?: number;
}

const MODES = ["probe", "finetune"] as const satisfies readonly DownstreamMode[];
const ORIGINS = ["scratch", "own", "global"] as const satisfies readonly EncoderOrigin[];

export function finetuneCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "finetune",
    "Train and test a classifier on this site's labels.",
    `Compares encoders on the same labels and the same test patients: at random (scratch), from this site alone (own), from
the federation (global). Two ways: probe, a linear classifier on the frozen encoder; finetune, the whole network. Each
number comes with a 95 % interval (bootstrap by patient). Nothing leaves this site.`,
    `consilium-site finetune --test test --negative normal
     consilium-site finetune --label-fraction 0.01 --seeds 5 --modes finetune
     consilium-site finetune --classes-from masks --finding nodule
     consilium-site finetune --label-count 50 --from scratch,global --json`,
  )
    .option("--train <name>", "cache with labels to train on", "train")
    .option("--test <name>", "cache with labels to test on (default: part of the training patients)")
    .option("--negative <class>", "this class against all others (default: all classes)")
    .option(
      "--classes-from <kind>",
      "classes, findings, or the presence of boxes or masks (default: classes, else findings)",
      oneOf("--classes-from", CLASS_SOURCES),
    )
    .option("--finding <name>", "this finding against its absence")
    .option("--label-fraction <f>", "train on this share of the labels", fraction("--label-fraction"))
    .option("--label-count <n>", "train on this many labels", wholeNumber("--label-count", 1))
    .option("--seeds <n>", "repetitions, each with its own labels", wholeNumber("--seeds", 1))
    .option("--modes <list>", "probe, finetune (default: both)", listOf("--modes", MODES))
    .option("--from <list>", "scratch, own, global (default: those that are here)", listOf("--from", ORIGINS))
    .option("--epochs <n>", "passes over the labels", wholeNumber("--epochs", 1));
  return handle<Options>(withEngineOptions(command, ports), ports, async ({ options, output, openHome }) => {
    const labels = labelBudget(options);
    const finding = options.finding ?? null;
    const home = await openHome();
    const { plan } = await home.joined();
    const encoders = await encoderSources(home, options.from);
    const trainDir = home.cacheFolder(parseName("--train", options.train));
    await assertApproved(trainDir);
    const testDir = options.test === undefined ? null : home.cacheFolder(parseName("--test", options.test));
    const engine = await chooseEngine(options, output);
    const { finetuneInThread } = await import("../../downstream/thread.ts");
    const { FINETUNE_OPTIONS } = await import("../../downstream/finetune-defaults.ts");
    const { settings } = FINETUNE_OPTIONS;
    const result = await finetuneInThread(
      {
        model: plan.model,
        trainDir,
        testDir,
        encoders,
        classes: { from: options.classesFrom ?? null, finding },
        options: {
          ...FINETUNE_OPTIONS,
          labels,
          modes: options.modes ?? FINETUNE_OPTIONS.modes,
          seeds: options.seeds ?? FINETUNE_OPTIONS.seeds,
          negativeClass: options.negative ?? (finding === null ? null : absenceOf(finding)),
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
    output.result({ ...result }, describe(result));
  });
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
  return `run ${run} of ${runs} · ${NAMES[from]}, ${mode}, seed ${seed}${at}${loss === null ? "" : ` · loss ${loss.toFixed(4)}`}`;
}

const NAMES: Readonly<Record<EncoderOrigin, string>> = {
  scratch: "from scratch",
  own: "own encoder",
  global: "federated encoder",
};

function describe({ classes, labels, test, testSource, summary }: FinetuneResult): string {
  const rows = summary.map(
    ({ from, mode, auroc, accuracy }) =>
      `${NAMES[from].padEnd(18)} ${mode.padEnd(9)} ${interval(auroc)}   ${interval(accuracy)}`,
  );
  return [
    `Classes: ${classes.join(", ")}. Trained on ${labels.images} labels (${labels.patients} patients), tested on ${test.images} images (${test.patients} patients).`,
    ...(testSource === "split" ? ["The encoders may have seen the test images, without labels."] : []),
    "",
    `${"encoder".padEnd(18)} ${"mode".padEnd(9)} ${"AUROC [95 %]".padEnd(20)}   accuracy [95 %]`,
    ...rows,
  ].join("\n");
}

const interval = ({ value, low, high }: Estimate): string =>
  `${value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;
