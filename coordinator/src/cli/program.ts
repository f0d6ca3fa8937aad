/** The command line: names, options, help. What a command does is loaded when it is run. */
import { ConsiliumError } from "@consilium/shared/errors";
import { Command, InvalidArgumentError, Option } from "commander";
import { SOFTWARE } from "../software.ts";
import type { OperatorOptions } from "./operator.ts";
import type { PlanOptions } from "./plan.ts";
import type { ServeOptions } from "./serve.ts";
import type { Terminal } from "./terminal.ts";

export interface ProgramPorts {
  readonly defaultHome: string;
  /** Standard output, one line. */
  readonly print: (line: string) => void;
  /** Runs until the process is told to stop. */
  readonly serve: (options: ServeOptions, terminal: Terminal) => Promise<void>;
}

type Common = { readonly json?: boolean };

export function createProgram({ defaultHome, print, serve }: ProgramPorts): Command {
  const terminalOf = ({ json = false }: Common): Terminal => ({ json, print });
  const program = new Command("consilium-coordinator")
    .description("Runs a federation: hospitals train one encoder together, and no image leaves any of them.")
    .version(SOFTWARE, "-V, --version", "show the version")
    .addHelpText(
      "after",
      examples(
        "plan --federation chest --title 'Chest radiographs' --rounds 25 --min-sites 3 --out plan.json",
        "serve --plan plan.json",
        "invite --site st-marys",
        "status",
        "roster",
      ),
    );

  /** Options that every command has. */
  const command = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .option("--home <dir>", "home folder (CONSILIUM_COORDINATOR_HOME)", defaultHome)
      .option("--json", "one JSON object a line on standard output");

  command("serve", "run the coordinator")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <number>", "port to listen on; 0 takes a free one", "8470")
    .option(
      "--plan <file>",
      "the federation plan; needed at the first start only; again for more federations",
      each,
    )
    .option(
      "--start-from <file>",
      "the file that a plan starts from; needed once, with the plan; again for more",
      each,
    )
    .option("--gather-ms <ms>", "how long to wait for the rest of the roster once enough sites are there")
    .addOption(
      new Option(
        "--database <url>",
        "PostgreSQL instead of a file in the home folder: postgres://USER:PASSWORD@HOST/NAME",
      ).env("CONSILIUM_DATABASE_URL"),
    )
    .addOption(
      new Option(
        "--blobs <url>",
        "S3 instead of files in the home folder: s3://BUCKET/PREFIX?endpoint=URL&region=NAME; keys as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
      ).env("CONSILIUM_BLOBS_URL"),
    )
    .addOption(
      new Option("--tls-cert <file>", "speak TLS: the certificate and its chain, PEM").env(
        "CONSILIUM_TLS_CERT",
      ),
    )
    .addOption(new Option("--tls-key <file>", "its key, PEM").env("CONSILIUM_TLS_KEY"))
    .addOption(
      new Option("--tls-client-ca <file>", "every site has to show a certificate of this authority, PEM").env(
        "CONSILIUM_TLS_CLIENT_CA",
      ),
    )
    .option(
      "--advertise <url>",
      "where other coordinators on this database reach this one; https:// with TLS",
    )
    .addHelpText(
      "after",
      examples(
        "serve --plan plan.json",
        "serve --plan plan.json --start-from encoder.safetensors",
        "serve --host 0.0.0.0 --port 8470",
        "serve --host 0.0.0.0 --tls-cert server.pem --tls-key server.key --tls-client-ca hospitals.pem",
        "serve --plan chest.json --plan knee.json",
      ) +
        `
Renewed certificates are taken up from the same files within a minute, or at once on SIGHUP; no connection is dropped.

With --database and --blobs s3://..., several coordinators share the work behind any TCP balancer: each federation is run
by one of them, and by another one seconds after that one is gone. All need the same identity.json and operator.token in
their home folders, and --advertise. With TLS they check each other's certificates. See docs/scaling.md.
  $ CONSILIUM_DATABASE_URL=postgres://consilium:SECRET@db/consilium consilium-coordinator serve \\
      --host 0.0.0.0 --blobs 's3://consilium/prod?region=eu-central-1' --advertise http://10.0.0.5:8470
`,
    )
    .action(({ json, ...options }: ServeOptions & Common) => {
      const isElsewhere = options.home !== defaultHome;
      const inviting = isElsewhere ? { inviteHome: options.home } : {};
      return serve({ ...options, ...inviting }, terminalOf(json === undefined ? {} : { json }));
    });

  command("invite", "make a one-time enrolment token for a site")
    .requiredOption("--site <name>", "the site's name: a-z, 0-9 and hyphens")
    .option("--federation <name>", "which federation, if there are several")
    .option("--valid-days <days>", "how long the token may be used", number, 7)
    .addHelpText("after", examples("invite --site st-marys", "invite --site st-marys --valid-days 1 --json"))
    .action(
      async (options: OperatorOptions & Common & { readonly site: string; readonly validDays: number }) => {
        const { invite } = await import("./operator.ts");
        await invite(options, terminalOf(options));
      },
    );

  command("status", "say where the federation stands")
    .option("--federation <name>", "only this one")
    .addHelpText("after", examples("status", "status --json"))
    .action(async (options: OperatorOptions & Common) => {
      const { status } = await import("./operator.ts");
      await status(options, terminalOf(options));
    });

  command("resume", "let training go on that an alarm has paused")
    .option("--federation <name>", "which one, if there are several")
    .addHelpText("after", examples("resume", "resume --federation lungs --json"))
    .action(async (options: OperatorOptions & Common) => {
      const { resume } = await import("./operator.ts");
      await resume(options, terminalOf(options));
    });

  command("roster", "show the sites and the coordinator by fingerprints, in words for the telephone")
    .option("--federation <name>", "which federation, if there are several")
    .addHelpText("after", examples("roster", "roster --json"))
    .action(async (options: OperatorOptions & Common) => {
      const { roster } = await import("./roster.ts");
      await roster(options, terminalOf(options));
    });

  command("remove", "take a site off the roster; renewed keys begin with this, too")
    .requiredOption("--site <name>", "the site's name")
    .option("--federation <name>", "which federation, if there are several")
    .addHelpText("after", examples("remove --site st-marys"))
    .action(async (options: OperatorOptions & Common & { readonly site: string }) => {
      const { remove } = await import("./roster.ts");
      await remove(options, terminalOf(options));
    });

  command("plan", "write a federation plan")
    .requiredOption("--federation <name>", "name of the federation: a-z, 0-9 and hyphens")
    .requiredOption("--title <text>", "what people read")
    .requiredOption("--rounds <n>", "rounds in all", number)
    .option("--min-sites <n>", "least number of sites in a round", number)
    .option("--deadline-minutes <n>", "longest time for a round", number)
    .option("--seed <n>", "from which the initial weights follow", number)
    .option("--size <name>", "nano, tiny, small or base")
    .option("--image-px <n>", "side of the image that the network sees", number)
    .option("--patch-px <n>", "side of a patch", number)
    .option("--cache-px <n>", "side of the cached images", number)
    .option("--channels <n>", "1 is grey; 3 shows CT in three windows", number)
    .option("--depth-px <n>", "volumes: slices that the network sees", number)
    .option("--patch-depth-px <n>", "volumes: slices of a patch", number)
    .option("--cache-depth-px <n>", "volumes: slices that are cached (default: --depth-px)", number)
    .option("--slice-spacing-mm <mm>", "volumes: from slice to slice", number)
    .option("--pixel-spacing-mm <mm>", "volumes: from voxel to voxel within a slice", number)
    .option(
      "--pretext <name>",
      "what is learnt: mae, simclr, mocov3, vicreg or restoration (default: mae); from labels: classify, findings or masks",
    )
    .option("--mask-ratio <f>", "mae: share of hidden patches", number)
    .option(
      "--classes <names>",
      "classify, findings, masks: as sites label them, for classify the positive one last: normal,pneumonia",
      names,
    )
    .option(
      "--head <where>",
      "of what labels teach: shared by all sites (default), or site: the encoder travels alone and each site keeps a head of its own",
    )
    .option("--test-share <f>", "from labels: share of labelled patients to test on (default: .3)", number)
    .option("--local-epochs <n>", "passes over a site's images in a round", number)
    .option("--batch-size <n>", "images in a step", number)
    .option("--learning-rate <f>", "peak of the schedule", number)
    .option("--warmup-rounds <n>", "rounds until the peak", number)
    .option(
      "--target-epsilon <f>",
      "protect patients: noise at each site for this epsilon over all rounds",
      number,
    )
    .option(
      "--privacy-unit <name>",
      "patient, or site: a whole site's update is covered, by noise that drowns a large model",
    )
    .option("--delta <f>", "of that epsilon, well below one over a site's patients", number)
    .option(
      "--examples-cap <n>",
      "images above which a site weighs no more; a little above the largest site",
      number,
    )
    .option(
      "--strategy <name>",
      "fedavg, fedavgm, fedadam, fedyogi or group-median; with --plain also median, trimmed-mean, krum or multi-krum (docs/strategies.md)",
    )
    .option("--server-learning-rate <f>", "of fedavgm, fedadam and fedyogi", number)
    .option("--trim <f>", "trimmed-mean: share left out at either end", number)
    .option("--byzantine <n>", "krum and multi-krum: sites that may send anything", number)
    .option(
      "--group-sites <n>",
      "group-median: fewest sites of a group, 4 or more; --min-sites three times it",
      number,
    )
    .option("--proximal-mu <f>", "FedProx: how strongly local training is held to the round's model", number)
    .option(
      "--held-out-share <f>",
      "try each model on this share of the patients, whom nobody trains on, and take a worse one back",
      number,
    )
    .option("--tolerance <f>", "how much larger the held-out loss may be, as a share (default: .05)", number)
    .option(
      "--patience <n>",
      "end early, with the best model, after so many models in a row that are no better on those patients",
      number,
    )
    .option(
      "--min-improvement <f>",
      "by what share the loss must fall to count as better (default: .01)",
      number,
    )
    .option(
      "--average-decay <f>",
      "hand out a running average of the global models instead of the last one: .9 for some ten of them",
      number,
    )
    .option(
      "--evaluate <classes>",
      "after each round, AUROC over all sites' labelled images, without a score leaving one: normal,pneumonia",
      names,
    )
    .option(
      "--evaluate-masks <classes>",
      "the same for masks: Dice over all sites' masks of, for example, left_lung,right_lung",
      names,
    )
    .option("--link-bits <n>", "32, or 16 for narrow links: half the bytes, errors of 1e-4 to 1e-2", number)
    .option(
      "--start-from <file>",
      "an existing encoder to start from: safetensors with timm's, MAE's or Hugging Face's names, or a checkpoint (consilium-site export --format checkpoint)",
    )
    .option(
      "--frozen-blocks <n>",
      "with --start-from: the encoder's first blocks stay as they are and travel in no update; 0 keeps the patch projection alone",
      number,
    )
    .option(
      "--low-rank <rank>",
      "with --start-from: the matrices of the encoder's blocks move by factors of this rank, and these travel in their place: 4 or 8 save nearly all of the encoder's bytes",
      number,
    )
    .option("--start-origin <text>", "where that comes from, for those who are to approve the plan")
    .option("--plain", "no masks: the coordinator can read each update; every site has to allow it")
    .option("--out <file>", "where to write it; standard output if absent")
    .option("--force", "replace the file")
    .addHelpText(
      "after",
      examples(
        "plan --federation chest --title 'Chest radiographs' --rounds 25 --out plan.json",
        "plan --federation chest --title 'Chest radiographs' --rounds 25 --pretext mocov3 --out plan.json",
        "plan --federation chest --title 'Chest radiographs' --rounds 25 --strategy fedavgm --held-out-share .1 --out plan.json",
        "plan --federation chest --title 'Chest radiographs' --rounds 200 --held-out-share .1 --patience 5 --out plan.json",
        "plan --federation chest --title 'Chest radiographs' --rounds 25 --evaluate normal,pneumonia --out plan.json",
        "plan --federation chest-labels --title 'Pneumonia' --rounds 10 --pretext classify --classes normal,pneumonia --out plan.json",
        "plan --federation chest-labels --title 'Pneumonia' --rounds 10 --pretext classify --classes normal,pneumonia --head site --out plan.json",
        "plan --federation chest-findings --title 'Findings' --rounds 10 --pretext findings --classes effusion,nodule --out plan.json",
        "plan --federation chest-lungs --title 'Lungs' --rounds 20 --pretext masks --classes left_lung,right_lung --start-from chest.ckpt --start-origin 'the chest federation' --out plan.json",
        "plan --federation chest --title 'Chest radiographs' --rounds 25 --strategy group-median --min-sites 12 --out plan.json",
        "plan --federation knee --title 'Knees' --rounds 25 --start-from chest.ckpt --start-origin 'the chest federation of 2026' --out plan.json",
        "plan --federation knee --title 'Knees' --rounds 25 --start-from chest.ckpt --low-rank 4 --out plan.json",
        "plan --federation ct --title 'Chest CT' --rounds 25 --channels 3 --image-px 96 --cache-px 112 --depth-px 32 --patch-depth-px 4 --cache-depth-px 40 --slice-spacing-mm 5 --pixel-spacing-mm 3 --out plan.json",
      ),
    )
    .action(async (options: PlanOptions & Common) => {
      const { writePlan } = await import("./plan.ts");
      await writePlan(options, terminalOf(options));
    });

  command("audit", "check that the audit log was not changed, and who has signed it")
    .argument("<action>", "verify")
    .addHelpText("after", examples("audit verify", "audit verify --json"))
    .action(async (action: string, options: Common & { readonly home: string }) => {
      if (action !== "verify") {
        const detail = "(the action is: verify)";
        throw new ConsiliumError("config.invalid", { detail, culprits: ["action"] });
      }
      const { verifyAudit } = await import("./audit.ts");
      await verifyAudit(options.home, terminalOf(options));
    });

  for (const each of [program, ...program.commands]) {
    // Commander's own wording repeats what was typed; it arrives as an error as well, and is shown in our words (misuse.ts).
    each.configureOutput({ writeErr: () => undefined });
  }
  return program;
}

const names = (text: string): readonly string[] => text.split(",").map((name) => name.trim());

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("Expected a number.");
  return value;
}

const each = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ consilium-coordinator ${line}`).join("\n")}\n`;
}
