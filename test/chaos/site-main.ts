/** A site's agent as `consilium-site run` composes it, but for the training (synthetic.ts). Prints NDJSON. */
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { errorBody, toConsiliumError } from "@consilium/shared/errors";
import { FINGERPRINT_LENGTH } from "@consilium/shared/fingerprint/layout";
import { runAgent } from "../../site-agent/src/federation/agent.ts";
import { checkpointFolder } from "../../site-agent/src/federation/checkpoints.ts";
import { cohortFile } from "../../site-agent/src/federation/cohort-file.ts";
import { httpClient } from "../../site-agent/src/federation/http.ts";
import { maskingFolder } from "../../site-agent/src/federation/masking/kept.ts";
import { outboxFolder } from "../../site-agent/src/federation/outbox.ts";
import { receiptsFile } from "../../site-agent/src/federation/receipts.ts";
import { witnessedHeads } from "../../site-agent/src/governance/audit-witness.ts";
import { Gate } from "../../site-agent/src/governance/gate.ts";
import { pinsFile } from "../../site-agent/src/governance/pins.ts";
import { openHome } from "../../site-agent/src/home/home.ts";
import { storeGlobalModel } from "../../site-agent/src/home/models.ts";
import { privacyGuard } from "../../site-agent/src/privacy/guard.ts";
import { privacyLedger } from "../../site-agent/src/privacy/ledger.ts";
import { readPrivacyPolicy } from "../../site-agent/src/privacy/policy.ts";
import { syntheticTrainer } from "./synthetic.ts";

const [folder, trainingMs] = process.argv.slice(2);
if (folder === undefined || trainingMs === undefined) throw new Error("site-main.ts HOME TRAINING_MS");

const say = (line: object): void => {
  process.stdout.write(`${JSON.stringify(line)}\n`);
};

try {
  const home = await openHome(folder);
  const { site, enrolment, plan } = await home.joined();
  const receipts = receiptsFile(home.receiptsFile);
  const result = await runAgent(
    {
      http: httpClient(enrolment.coordinatorUrl, fetch),
      checkpoints: checkpointFolder(home.checkpointsFolder),
      outbox: outboxFolder(home.federationFolder),
      receipts,
      masking: { folder: maskingFolder(home.federationFolder) },
      pins: pinsFile(home.rosterFile),
      onRoster: () => undefined,
      auditHeads: witnessedHeads(home.auditHeadsFile),
      gate: new Gate({ policy: () => home.policy(), receipts, nowMs: Date.now }, plan),
      trainer: syntheticTrainer(site, Number(trainingMs)),
      privacy: privacyGuard(
        {
          ledger: privacyLedger(home.privacyLedgerFile),
          policy: () => readPrivacyPolicy(home.privacyPolicyFile),
          nowMs: Date.now,
        },
        { plan, cohort: "train", cacheDir: home.cacheFolder("train") },
      ),
      random: (length) => new Uint8Array(randomBytes(length)),
      nowMs: Date.now,
      // Patience is for people: a fifth of it is enough here.
      sleep: (durationMs, signal) => delay(durationMs / 5, undefined, { signal }).catch(() => undefined),
      report: ({ phase, round, attempt, note }) => {
        say({ event: "progress", phase, round, attempt, note });
      },
      fingerprint: () => Promise.resolve(new Uint32Array(FINGERPRINT_LENGTH)),
      onCohort: () => undefined,
      cohortFile: cohortFile(home.federationFolder),
      storeGlobalModel: (checkpoint, record) =>
        storeGlobalModel(home, checkpoint, record, enrolment.coordinator),
    },
    {
      membership: {
        federation: plan.federation,
        site,
        identity: await home.identity(),
        coordinator: enrolment.coordinator,
      },
      plan,
      coordinatorUrl: enrolment.coordinatorUrl,
      training: { cacheDir: home.cacheFolder("train"), engine: { threads: 1, device: "cpu" } },
      software: "consilium-site/chaos",
      signal: new AbortController().signal,
    },
  );
  say({ event: "result", ...result });
} catch (error) {
  const known = toConsiliumError(error);
  say({ event: "error", error: errorBody(known), cause: String(known.cause) });
  process.exitCode = 1;
}
