/** What the agent does for each task of the state machine: fetch, train, seal or mask, upload, finish. */
import type { Checkpoint } from "@consilium/shared/codec";
import type { RandomBytes } from "@consilium/shared/crypto/identity";
import type { Signed } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import { fingerprintLayout, fingerprintValues } from "@consilium/shared/fingerprint/masked";
import type { Sha256 } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import {
  isFingerprintRound,
  trainsIn,
  type CheckpointRecord,
  type RoundOpening,
} from "@consilium/shared/protocol/round";
import type { VectorLayout } from "@consilium/shared/secagg/layout";
import { repeatedExtras, roundExtras, roundLayout } from "@consilium/shared/secagg/plan-layout";
import { assertFinite } from "@consilium/shared/vector";
import { memorySource, removeFile } from "../home/files.ts";
import type { Holding } from "../governance/holding.ts";
import { checkOpening, openingChecks, type OpeningChecks, type OpeningPorts } from "../governance/opening.ts";
import type { PrivacyGuard } from "../privacy/guard.ts";
import { Pause } from "../training/pause.ts";
import type { LocalRoundProgress, LocalRoundResult, Trainer, TrainingEngine } from "../training/types.ts";
import type { Checkpoints } from "./checkpoints.ts";
import type { CohortFile } from "./cohort-file.ts";
import { sealContribution, sealGenesis } from "./contribution.ts";
import { fetchCheckpoint } from "./download.ts";
import { HeldBase } from "./held-base.ts";
import type { Task } from "./machine.ts";
import { SiteMasking, type MaskingPorts } from "./masking/driver.ts";
import type { TrainingState } from "./optimizer-file.ts";
import type { Outbox } from "./outbox.ts";
import { Sending } from "./sending.ts";
import type { Membership } from "./session.ts";
import { SiteModel } from "./site-model.ts";
import { anotherSeed } from "./training-seed.ts";
import type { Link } from "./transport.ts";

export interface TaskPorts extends OpeningPorts {
  readonly checkpoints: Checkpoints;
  readonly outbox: Outbox;
  readonly trainer: Trainer;
  /** Asked before each training. */
  readonly privacy: PrivacyGuard;
  readonly masking: Pick<MaskingPorts, "folder">;
  /** Of the images that this site trains on. */
  readonly fingerprint: () => Promise<Uint32Array>;
  readonly cohortFile: CohortFile;
  readonly random: RandomBytes;
  /** Keeps the global model for use at the site. */
  readonly storeGlobalModel: (checkpoint: Uint8Array, record: Signed<CheckpointRecord>) => Promise<void>;
}

export interface LocalTraining {
  readonly cacheDir: string;
  readonly seed: number;
  readonly engine: TrainingEngine;
  /** Where an unfinished training is kept; none, and it is done again after a restart. */
  readonly resumeFile?: string;
}

export interface TaskProgress {
  readonly done: number;
  readonly total: number;
  readonly loss: number | null;
  readonly imagesPerSecond: number | null;
}

/** What became of things, for the run's summary. */
export interface Tally {
  contributions: number;
  sentBytes: number;
}

/** Stands in for a link while there is none; a task that needs one is not started then. */
type MaybeLink = Link | null;

export class Tasks {
  readonly tally: Tally = { contributions: 0, sentBytes: 0 };
  readonly #ports: TaskPorts;
  readonly #membership: Membership;
  readonly #plan: Plan;
  readonly #training: LocalTraining;
  readonly #masking: SiteMasking;
  readonly #sending: Sending;
  readonly #opening: OpeningChecks;
  readonly #model: SiteModel;
  /** Of the training that runs. */
  readonly pause = new Pause();
  /** Sealed once, so that a retry sends the same bytes. */
  #sealedGenesis: ReturnType<typeof sealGenesis> | null = null;
  #base: HeldBase | null = null;
  #trained: { readonly opening: RoundOpening; readonly result: LocalRoundResult } | null = null;
  #fingerprint: { readonly opening: RoundOpening; readonly vector: Uint32Array } | null = null;

  constructor(
    ports: TaskPorts,
    membership: Membership,
    plan: Plan,
    training: LocalTraining,
    genesis: Checkpoint,
    holding: Holding,
  ) {
    this.#ports = ports;
    this.#membership = membership;
    this.#plan = plan;
    this.#training = training;
    this.#sending = new Sending(ports, membership, this.tally);
    this.#opening = openingChecks(ports, membership, holding);
    const { roster } = this.#opening;
    const { folder } = ports.masking;
    this.#masking = new SiteMasking({ folder, roster, random: ports.random }, membership, plan.minSites);
    this.#model = new SiteModel(genesis, plan);
  }

  /** Of the initial model, as this site derives it. */
  get genesisName(): Sha256 {
    return this.#model.name;
  }

  async run(
    task: Task,
    link: MaybeLink,
    onProgress: (progress: TaskProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const onBytes = (done: number, total: number): void => {
      onProgress({ done, total, loss: null, imagesPerSecond: null });
    };
    switch (task.kind) {
      case "genesis":
        return this.#sendGenesis(online(link), onBytes, signal);
      case "fetching":
        await checkOpening(this.#opening, task, online(link).session);
        await this.#fetchBase(task.opening, online(link), onBytes, signal);
        if (task.step === "mask") {
          await this.#masking.listen(task.opening, this.#layout(task.opening), online(link));
        }
        return;
      case "training":
        return this.#train(task.opening, onProgress, signal);
      case "fingerprinting":
        this.#fingerprint = { opening: task.opening, vector: await this.#ports.fingerprint() };
        return;
      case "sealing":
        return task.step === undefined ? this.#seal(task.opening) : this.#mask(task.opening);
      case "uploading":
        return task.step === undefined
          ? this.#upload(online(link), onBytes, signal)
          : this.#uploadMasked(task.opening, online(link), onBytes, signal);
      case "advertising": {
        const said = await this.#masking.advertise(task.opening, this.#layout(task.opening), online(link));
        return this.#sending.message(task.opening, "masking-keys", said, online(link));
      }
      case "sharing": {
        const said = await this.#masking.share(task.opening, online(link));
        return this.#sending.message(task.opening, "masking-shares", said, online(link));
      }
      case "voting": {
        const said = await this.#masking.vote(task.opening, online(link));
        return this.#sending.message(task.opening, "masking-signature", said, online(link));
      }
      case "releasing": {
        const said = await this.#masking.release(task.opening, online(link));
        return this.#sending.message(task.opening, "masking-release", said, online(link));
      }
      case "finishing":
        return this.#finish(task.record, online(link), onBytes, signal);
    }
  }

  async #fetchBase(
    { round, base }: RoundOpening,
    link: Link,
    onBytes: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    // The first base is derived, never fetched: a coordinator cannot slip in weights of its own choice.
    if (round <= 1 && base !== this.genesisName) throw new ConsiliumError("genesis.mismatch");
    if (this.#base?.name === base) return;
    const values =
      base === this.genesisName
        ? this.#model.genesis.values
        : this.#model.decode(await this.#fetch(base, link, onBytes, signal));
    this.#base = new HeldBase(base, values);
    await this.#ports.checkpoints.keepOnly([base]);
  }

  async #train(
    opening: RoundOpening,
    onProgress: (progress: TaskProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    // A round that is tried again is trained once.
    if (this.#trained !== null && (await this.#servesAgain(this.#trained.opening, opening))) {
      this.#trained = { ...this.#trained, opening };
      return;
    }
    const before = await this.#ports.outbox.prepare(opening);
    const { cacheDir, engine, seed, resumeFile = null } = this.#training;
    const isRepeated = await this.#masking.hasSentIn(opening.round);
    const privacy = await this.#ports.privacy.pay(opening.round, opening.attempt);
    const result = await this.#ports.trainer.train(
      {
        plan: this.#plan,
        cacheDir,
        seed: isRepeated ? anotherSeed(seed, opening) : seed,
        engine,
        privacy,
        resumeFile,
        round: opening.round,
        base: this.#heldBase(opening).values,
        optimizerState: this.#plan.training.optimizerState === "keep" ? (before?.moments ?? null) : null,
        kept: before?.kept ?? null,
      },
      ({ step, steps, loss, imagesPerSecond }: LocalRoundProgress) => {
        onProgress({ done: step, total: steps, loss, imagesPerSecond });
      },
      signal,
      this.pause,
    );
    this.#trained = { opening, result };
  }

  /** Not once it was sent: then the same update in another sum would show by itself. */
  async #servesAgain(trained: RoundOpening, opening: RoundOpening): Promise<boolean> {
    const sameStart = trained.round === opening.round && trained.base === opening.base;
    return sameStart && !(await this.#masking.hasSentIn(opening.round));
  }

  async #seal(opening: RoundOpening): Promise<void> {
    if (this.#trained?.opening !== opening) throw new Error("sealing comes after training");
    const { result } = this.#trained;
    const { random, outbox } = this.#ports;
    const contribution = sealContribution(this.#membership, this.#model.trained, opening, result, random);
    await outbox.write({ ...contribution, state: this.#stateAfter(result) });
    this.#trained = null;
  }

  async #mask(opening: RoundOpening): Promise<void> {
    if (isFingerprintRound(opening.round)) return this.#maskFingerprint(opening);
    if (this.#trained?.opening !== opening) throw new Error("sealing comes after training");
    const plan = this.#plan;
    const { result } = this.#trained;
    const { delta, examples, metrics, health } = result;
    if (!Object.values(metrics).every(Number.isFinite)) throw new ConsiliumError("training.diverged");
    assertFinite(this.#model.trained, delta);
    await this.#ports.outbox.keep(opening, this.#stateAfter(result));
    const again = await this.#masking.hasSentIn(opening.round);
    const extras = again ? repeatedExtras(plan, opening, metrics) : roundExtras(plan, metrics, health);
    await this.#masking.seal(opening, this.#layout(opening), { update: delta, examples, extras });
  }

  #stateAfter({ optimizerState, kept }: LocalRoundResult): TrainingState {
    const moments = this.#plan.training.optimizerState === "keep" ? optimizerState : null;
    return { moments, kept: kept ?? null };
  }

  async #maskFingerprint(opening: RoundOpening): Promise<void> {
    if (this.#fingerprint?.opening !== opening) throw new Error("sealing comes after fingerprinting");
    const { vector } = this.#fingerprint;
    // On disk first: only with what went into the sum can this site tell the others' part of it.
    await this.#ports.cohortFile.give(opening.attempt, vector);
    await this.#masking.seal(opening, this.#layout(opening), fingerprintValues(vector));
  }

  async #uploadMasked(
    opening: RoundOpening,
    link: Link,
    onBytes: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { round, attempt } = opening;
    const { said, source } = await this.#masking.vector(opening);
    const { bytes, sha256: name } = said.masked.body;
    try {
      const outcome = await this.#sending.object(
        { kind: "masked-vector", round, attempt, bytes, sha256: name },
        { kind: "masked", round, attempt, masked: said.masked },
        source,
        link,
        onBytes,
        signal,
      );
      if (outcome !== "stale" && trainsIn(round, this.#plan)) this.tally.contributions += 1;
    } finally {
      await source.close();
    }
  }

  async #upload(
    link: Link,
    onBytes: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const header = await this.#ports.outbox.read();
    if (header === null) throw new ConsiliumError("round.not-open");
    const { round, attempt, sealedSha256, sealedBytes } = header.body;
    await this.#sending.header(header);
    const source = await this.#ports.outbox.source();
    try {
      const outcome = await this.#sending.object(
        { kind: "contribution", round, attempt, bytes: sealedBytes, sha256: sealedSha256 },
        { kind: "contribution", header },
        source,
        link,
        onBytes,
        signal,
      );
      if (outcome !== "stale" && trainsIn(round, this.#plan)) this.tally.contributions += 1;
    } finally {
      await source.close();
    }
  }

  async #sendGenesis(
    link: Link,
    onBytes: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    this.#sealedGenesis ??= sealGenesis(this.#membership, this.#model.frame, this.#ports.random);
    const { sealed, sealedSha256 } = this.#sealedGenesis;
    await this.#sending.object(
      { kind: "genesis", round: 0, attempt: 0, bytes: sealed.length, sha256: sealedSha256 },
      { kind: "genesis", sha256: this.genesisName, sealedSha256, sealedBytes: sealed.length },
      memorySource(sealed),
      link,
      onBytes,
      signal,
    );
  }

  async #finish(
    record: Signed<CheckpointRecord>,
    link: Link,
    onBytes: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const checkpoint =
      record.body.sha256 === this.genesisName
        ? this.#model.frame
        : await this.#fetch(record.body.sha256, link, onBytes, signal);
    this.#model.decode(checkpoint);
    await this.#opening.witness.countersign(link.session);
    await this.#ports.storeGlobalModel(checkpoint, record);
    await this.#ports.checkpoints.keepOnly([]);
    await this.#ports.outbox.clear();
    await this.#masking.clear();
    if (this.#training.resumeFile !== undefined) await removeFile(this.#training.resumeFile);
    this.#trained = null;
  }

  #fetch(
    name: Sha256,
    link: Link,
    onProgress: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { http, checkpoints } = this.#ports;
    const sizeBytes = this.#model.frame.length;
    return fetchCheckpoint({
      http,
      session: link.session,
      checkpoints,
      name,
      sizeBytes,
      onProgress,
      signal,
    });
  }

  /** Of the masked vector. */
  #layout(opening: RoundOpening): VectorLayout {
    const { round, cohort } = opening;
    if (isFingerprintRound(round)) return fingerprintLayout(cohort.length);
    const magnitudes = this.#heldBase(opening).magnitudes(this.#model.genesis.manifest);
    return roundLayout(this.#plan, round, cohort.length, magnitudes);
  }

  /** The attempt whose masked vector lies ready to be sent. */
  maskedReady(): Promise<RoundOpening | null> {
    return this.#masking.ready();
  }

  async close(): Promise<void> {
    await this.#masking.close();
  }

  #heldBase({ base }: RoundOpening): HeldBase {
    if (this.#base?.name !== base) throw new Error("training comes after fetching");
    return this.#base;
  }
}

function online(link: MaybeLink): Link {
  if (link === null) throw new ConsiliumError("coordinator.unreachable");
  return link;
}
