import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { assertApproved } from "../../dataset/intake.ts";
import { checkpointFolder } from "../../federation/checkpoints.ts";
import { heldStart } from "../../federation/starting-model.ts";
import { trainingSeed } from "../../federation/training-seed.ts";
import { storeOwnModel } from "../../home/models.ts";
import { handle, siteCommand, wholeNumber } from "../context.ts";
import { chooseTrainingEngine, withTrainingOptions, type TrainingCliOptions } from "../engine-options.ts";
import type { CliPorts } from "../ports.ts";

interface Options extends TrainingCliOptions {
  readonly cache: string;
  readonly rounds?: number;
}

const WITHOUT_NOISE =
  "The plan protects patients with noise; this encoder stays here and is trained without. Do not hand it on.";

export function pretrainCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "pretrain",
    "Train the same encoder on this site's images alone.",
    `For comparison: what would this site have without the others? Uses the federation's plan and sends nothing. Where the plan
starts from an existing model, so does this; consilium-site run fetches it. The encoder is kept in this home, for finetune
--from own.`,
    `consilium-site pretrain
     consilium-site pretrain --rounds 10 --threads 4`,
  )
    .option("--cache <name>", "image cache to train on", "train")
    .option("--rounds <n>", "rounds to train (default: the plan's)", wholeNumber("--rounds", 1));
  return handle<Options>(
    withTrainingOptions(command, ports),
    ports,
    async ({ options, output, openHome }) => {
      const home = await openHome();
      const { site, plan } = await home.joined();
      const cacheDir = home.cacheFolder(parseName("--cache", options.cache));
      await assertApproved(cacheDir);
      const engine = await chooseTrainingEngine(options, plan, output);
      if (plan.privacy.unit !== "none") output.note(WITHOUT_NOISE);
      const { createTrainer } = await import("../../training/trainer.ts");
      const { pretrainAlone, withoutPrivacy, withRounds } = await import("../../training/pretrain-alone.ts");
      const trainer = createTrainer();
      try {
        const { manifest, values, losses } = await pretrainAlone(
          trainer,
          {
            plan: withoutPrivacy(withRounds(plan, options.rounds ?? plan.rounds)),
            start: await heldStart(plan, checkpointFolder(home.checkpointsFolder)),
            cacheDir,
            seed: trainingSeed(plan, site),
            engine,
          },
          ({ round, rounds, step, steps, loss, imagesPerSecond }) => {
            const speed = Math.round(imagesPerSecond);
            output.progress({
              kind: `round ${round}`,
              text: `round ${round} of ${rounds} · step ${step} of ${steps} · loss ${loss.toFixed(4)} · ${speed} images/s`,
              last: step === steps,
              data: { phase: "training", round, rounds, done: step, total: steps, loss, imagesPerSecond },
            });
          },
          ports.signal,
        );
        const checkpoint = await storeOwnModel(home, { manifest, values });
        output.result(
          { site, rounds: losses.length, losses, checkpoint },
          `This site's own encoder is trained: ${losses.length} rounds, loss ${loss(losses[0])} -> ${loss(losses.at(-1))}.
  next         consilium-site ${plan.model.dimensions === 2 ? "finetune --from scratch,own,global" : "export --from own --format checkpoint --out own.ckpt"}`,
        );
      } finally {
        await trainer.close();
      }
    },
  );
}

const loss = (value: number | undefined): string => value?.toFixed(4) ?? "-";
