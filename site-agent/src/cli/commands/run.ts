import { verdictOf } from "@consilium/shared/fingerprint/compare";
import { GROUPS } from "@consilium/shared/fingerprint/layout";
import { planHash, type Plan } from "@consilium/shared/plan";
import { MIN_SUMMED_SITES } from "@consilium/shared/protocol/fingerprint";
import { describeEarlyEnd, isTrialRound, roundInWords } from "@consilium/shared/protocol/round";
import { formatBytes } from "@consilium/shared/units";
import path from "node:path";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { assertApproved } from "../../dataset/intake.ts";
import type { AgentReport } from "../../federation/agent-report.ts";
import type { CohortReport } from "../../federation/cohort.ts";
import { cohortFile } from "../../federation/cohort-file.ts";
import { checkpointFolder, type Checkpoints } from "../../federation/checkpoints.ts";
import { openSharedModels, sharingStart } from "../../federation/shared-models.ts";
import { assertAllowed, PLAIN_WARNING } from "../../policy.ts";
import { httpClient } from "../../federation/http.ts";
import { maskingFolder } from "../../federation/masking/kept.ts";
import { outboxFolder } from "../../federation/outbox.ts";
import { receiptsFile } from "../../federation/receipts.ts";
import { witnessedHeads } from "../../governance/audit-witness.ts";
import { Gate } from "../../governance/gate.ts";
import { pinsFile } from "../../governance/pins.ts";
import type { Home } from "../../home/home.ts";
import { whileLocked } from "../../home/lock.ts";
import { storeGlobalModel } from "../../home/models.ts";
import { privacyGuard } from "../../privacy/guard.ts";
import { privacyLedger } from "../../privacy/ledger.ts";
import { readPrivacyPolicy } from "../../privacy/policy.ts";
import { SOFTWARE } from "../../software.ts";
import { handle, siteCommand } from "../context.ts";
import { sayEvaluation } from "../evaluation-report.ts";
import { sayTaught } from "../taught-report.ts";
import { sayRoster } from "./roster.ts";
import { chooseTrainingEngine, withTrainingOptions, type TrainingCliOptions } from "../engine-options.ts";
import type { Output } from "../output.ts";
import { siteNetwork, tlsPaths, withNetworkOptions, type NetworkCliOptions } from "../network-options.ts";
import type { CliPorts } from "../ports.ts";

interface Options extends TrainingCliOptions, NetworkCliOptions {
  readonly cache: string;
  readonly sharedModels?: string;
}

export function runCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "run",
    "Take part in the federation until it has finished.",
    `Trains on this site's cached images in each round and sends the update, masked so that the coordinator sees only its sum
with the others'. Where the site's policy asks for it, it waits for consilium-site plan approve, and outside the hours of
work. It may be stopped and started again at any time: what was sealed is sent again as it was, and an unfinished training
goes on from where it was at most a minute before. While the coordinator does not answer, it keeps trying.`,
    `consilium-site run
     consilium-site run --threads 4 --json
     consilium-site run --device webgpu
     consilium-site run --device cuda --devices 4
     consilium-site run --home /srv/knee --shared-models /srv/models`,
  )
    .option("--cache <name>", "image cache to train on", "train")
    .option(
      "--shared-models <dir>",
      "where homes of this account share the encoder that their plans start from, by its hash ($CONSILIUM_SITE_SHARED_MODELS)",
    );
  return handle<Options>(
    withNetworkOptions(withTrainingOptions(command, ports)),
    ports,
    async ({ options, output, openHome }) => {
      const home = await openHome();
      const { site, enrolment, plan } = await home.joined();
      assertAllowed(plan, await home.policy());
      if (plan.aggregation.secure === "plain") output.note(PLAIN_WARNING);
      const identity = await home.identity();
      const receipts = receiptsFile(home.receiptsFile);
      const cache = parseName("--cache", options.cache);
      const cacheDir = home.cacheFolder(cache);
      await assertApproved(cacheDir);
      await sayTaught(plan, cacheDir, output);
      await sayEvaluation(plan, cacheDir, output);
      const sharedFolder = options.sharedModels ?? ports.env["CONSILIUM_SITE_SHARED_MODELS"] ?? "";
      const checkpoints = await checkpointsOf(home, plan, sharedFolder);
      const network = await siteNetwork(home, enrolment.coordinatorUrl, options, ports);
      await home.setTls(tlsPaths(options, (await home.readConfig()).tls));
      const engine = await chooseTrainingEngine(options, plan, output);
      // Loaded here, so that `--help` and the small commands do not wait for the engine.
      const { runAgent } = await import("../../federation/agent.ts");
      const { createTrainer } = await import("../../training/trainer.ts");
      const { fingerprintOfCache } = await import("../../dataset/fingerprint.ts");
      const trainer = createTrainer();
      try {
        const result = await whileLocked(home.folder, "run", () =>
          runAgent(
            {
              http: httpClient(enrolment.coordinatorUrl, network.fetch),
              sockets: network.sockets,
              checkpoints,
              outbox: outboxFolder(home.federationFolder),
              receipts,
              masking: { folder: maskingFolder(home.federationFolder) },
              pins: pinsFile(home.rosterFile),
              onRoster: (news) => {
                sayRoster(news, output);
              },
              auditHeads: witnessedHeads(home.auditHeadsFile),
              gate: new Gate({ policy: () => home.policy(), receipts, nowMs: ports.nowMs }, plan),
              trainer,
              privacy: privacyGuard(
                {
                  ledger: privacyLedger(home.privacyLedgerFile),
                  policy: () => readPrivacyPolicy(home.privacyPolicyFile),
                  nowMs: ports.nowMs,
                },
                { plan, cohort: cache, cacheDir },
              ),
              random: ports.random,
              nowMs: ports.nowMs,
              sleep: ports.sleep,
              report: (report) => {
                show(report, output);
              },
              fingerprint: () => fingerprintOfCache(cacheDir),
              cohortFile: cohortFile(home.federationFolder),
              onCohort: (cohort) => {
                showCohort(cohort, output);
              },
              storeGlobalModel: (checkpoint, record) =>
                storeGlobalModel(home, checkpoint, record, enrolment.coordinator),
            },
            {
              membership: { federation: plan.federation, site, identity, coordinator: enrolment.coordinator },
              plan,
              coordinatorUrl: enrolment.coordinatorUrl,
              training: { cacheDir, engine, resumeFile: path.join(home.federationFolder, "training.bin") },
              software: SOFTWARE,
              signal: ports.signal,
            },
          ),
        );
        output.result(
          { federation: plan.federation, site, planHash: planHash(plan), ...result },
          `${plan.federation} has finished after ${result.rounds} rounds.${result.stopped === null ? "" : `\n  early        ${describeEarlyEnd(result.stopped)}`}
  this run     ${result.contributions} contributions, ${formatBytes(result.sentBytes)} sent, all ${plan.aggregation.secure === "masked" ? "masked or sealed" : "encrypted for the coordinator"}
  model        the global encoder is in this home (sha256 ${result.checkpoint.slice(0, 16)}...)
  next         consilium-site finetune, or consilium-site export`,
        );
      } finally {
        await trainer.close();
        await network.close();
      }
    },
  );
}

/** @param sharedFolder empty if this home shares nothing */
async function checkpointsOf(home: Home, plan: Plan, sharedFolder: string): Promise<Checkpoints> {
  const own = checkpointFolder(home.checkpointsFolder);
  return sharedFolder === ""
    ? own
    : sharingStart(own, plan, await openSharedModels(sharedFolder), home.folder);
}

function show(report: AgentReport, output: Output): void {
  const { phase, round, attempt, done, total, note } = report;
  output.progress({
    kind: `${phase} ${round ?? ""}.${attempt ?? ""} ${note ?? ""}`,
    text: describe(report),
    last: total > 0 && done === total,
    data: { ...report },
  });
}

/** How far this site's images are from the others', by number, before anything fails for it. */
function showCohort({ sites, comparison, givenUp }: CohortReport, output: Output): void {
  if (comparison === null) {
    const text =
      givenUp === null
        ? `cohort · ${sites} of at least ${MIN_SUMMED_SITES} sites have said what their images are like`
        : `cohort · whether the sites' images are alike stays unknown: their sum could not be opened (${givenUp})`;
    output.event("cohort", { sites, comparison, givenUp }, text);
    return;
  }
  const verdict = verdictOf(comparison);
  const distances = GROUPS.map(
    ({ name, title }) => `${title} ${comparison.distances[name]?.toFixed(2) ?? "-"}`,
  );
  const { unlike } = comparison;
  output.event(
    "cohort",
    { sites, verdict, unlike, distances: comparison.distances },
    [
      `cohort · ${sites} sites · this site's images: ${verdict}`,
      `  distances    ${distances.join(" · ")}`,
      ...(unlike.length === 0
        ? []
        : ["  next         consilium-site preview shows what this site trains on: is it what you meant?"]),
    ].join("\n"),
  );
}

/** For example "round 3 of 25 · training · step 12 of 59 · loss 0.8120 · 310 images/s". */
export function describe(report: AgentReport): string {
  const { phase, round, attempt, rounds, done, total, loss, imagesPerSecond, note } = report;
  if (note !== null) return note;
  const parts: string[] = [];
  if (round !== null) {
    parts.push(
      `${roundInWords(round, { rounds })}${attempt !== null && attempt > 1 ? `, attempt ${attempt}` : ""}`,
    );
  }
  const isTrial = round !== null && isTrialRound(round, { rounds });
  parts.push((isTrial ? TRIAL_PHASES[phase] : undefined) ?? PHASES[phase]);
  if (phase === "training" && total > 0) {
    parts.push(`step ${done} of ${total}`);
    if (loss !== null) parts.push(`loss ${loss.toFixed(4)}`);
    if (imagesPerSecond !== null) parts.push(`${Math.round(imagesPerSecond)} images/s`);
  } else if (total > 0) {
    parts.push(`${formatBytes(done)} of ${formatBytes(total)}`);
  }
  return parts.join(" · ");
}

const PHASES: Readonly<Record<AgentReport["phase"], string>> = {
  connecting: "connecting to the coordinator",
  starting: "fetching the model that the plan starts from",
  waiting: "waiting for the others",
  genesis: "sending the initial model",
  fetching: "fetching the global model",
  training: "training",
  fingerprinting: "looking at what its images are like",
  sealing: "masking or encrypting what it sends",
  uploading: "uploading",
  finishing: "fetching the final encoder",
  finished: "finished",
  advertising: "agreeing on keys with the others",
  sharing: "sharing its keys among the others",
  voting: "signing the list of sites in the sum",
  releasing: "helping to open the sum",
};

/** In which nobody trains; what is sent is as large as an update, and of it only the loss says anything. */
const TRIAL_PHASES: Partial<typeof PHASES> = {
  training: "computing its loss on patients held out",
  uploading: "sending that loss, in a vector as large as an update",
};
