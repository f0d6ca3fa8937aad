/**
 * A site without training: real keys, sockets and messages, and an update that was made once. Its pair masks are left out of
 * what it sends: they cancel among the sites, so the coordinator's work is the same, byte for byte as much.
 */
import { sha256 } from "@consilium/shared/canonical";
import { decodeCheckpoint } from "@consilium/shared/codec";
import { verify } from "@consilium/shared/crypto/identity";
import { FINGERPRINT_LENGTH } from "@consilium/shared/fingerprint/layout";
import { fingerprintLayout, fingerprintValues } from "@consilium/shared/fingerprint/masked";
import type { MaskingShown, ShownIn } from "@consilium/shared/protocol/masking";
import { isFingerprintRound, type MaskingStep, type RoundOpening } from "@consilium/shared/protocol/round";
import { openAttempt } from "@consilium/shared/secagg/attempt";
import { maskedBlocks } from "@consilium/shared/secagg/encode";
import { maskedFrameBytes, maskedHeader } from "@consilium/shared/secagg/frame";
import type { VectorLayout } from "@consilium/shared/secagg/layout";
import { roundExtras, roundLayout } from "@consilium/shared/secagg/plan-layout";
import { magnitudesOf } from "@consilium/shared/secagg/ranges";
import { advertise } from "@consilium/shared/secagg/site/advertise";
import { consistency } from "@consilium/shared/secagg/site/consistency";
import { contribute } from "@consilium/shared/secagg/site/contribute";
import { mask, type Masking } from "@consilium/shared/secagg/site/mask";
import { share } from "@consilium/shared/secagg/site/share";
import { unmask } from "@consilium/shared/secagg/site/unmask";
import type { Plan } from "@consilium/shared/plan";
import type { UploadOutcome } from "@consilium/shared/protocol/events";
import type { Socket } from "socket.io-client";
import { FakeSite } from "../../../coordinator/src/testing/fake-site.ts";
import { random } from "../../support/federation.ts";

const METRICS = { loss: 1, finalLoss: 0.9, steps: 3, updateNorm: 1, trainingMs: 5 };
const CHUNK_BYTES = 256 * 1024;
const ANSWER_MS = 120_000;

/** Milliseconds from a message to its answer, by the message's name. */
export type Waits = Map<string, number[]>;

type Ready = Awaited<ReturnType<SimulatedSite["prepare"]>>;

export class SimulatedSite extends FakeSite {
  readonly waits: Waits;
  /** From which the masked vectors of all sites are made: the same for all, since only its size matters. */
  readonly update: Float32Array;
  /** The round's base checkpoint, as a frame. */
  #base: Uint8Array;

  constructor(name: string, url: string, model: FakeSite["model"], update: Float32Array, waits: Waits) {
    super(name, url, model, 10);
    this.update = update;
    this.waits = waits;
    this.#base = model.genesis;
  }

  async fetchBase({ base }: RoundOpening): Promise<void> {
    if (sha256(this.#base) === base) return;
    this.#base = new Uint8Array(await (await this.download(base)).arrayBuffer());
  }

  override async ask<T extends object>(
    socket: Socket | null,
    event: string,
    ...parts: unknown[]
  ): Promise<T> {
    if (socket === null) throw new Error("not connected");
    const startedMs = performance.now();
    const reply = (await socket.timeout(ANSWER_MS).emitWithAck(event, ...parts)) as
      ({ readonly ok: true } & T) | { readonly ok: false; readonly error: { readonly code: string } };
    const waits = this.waits.get(event) ?? [];
    this.waits.set(event, waits);
    waits.push(performance.now() - startedMs);
    if (!reply.ok) throw new Error(`${event}: ${reply.error.code}`);
    return reply;
  }

  /** @returns what sends it */
  sealPlain(opening: RoundOpening): () => Promise<UploadOutcome> {
    const sealed = this.contribution(opening, this.update);
    return () => this.contribute(sealed, CHUNK_BYTES);
  }

  async show<Step extends MaskingStep>({ round, attempt }: RoundOpening, step: Step): Promise<ShownIn<Step>> {
    const query = { round, attempt, step };
    const { shown } = await this.ask<{ shown: MaskingShown }>(this.control, "masking.show", query);
    const isOf = (other: MaskingShown): other is ShownIn<Step> => other.step === step;
    if (!isOf(shown)) throw new Error("another step is shown");
    return shown;
  }

  async say({ round, attempt }: RoundOpening, message: object): Promise<void> {
    await this.ask(this.control, "masking.answer", { round, attempt, message });
  }

  get self() {
    return { site: this.site, identity: this.identity };
  }

  layoutOf(plan: Plan, { round, cohort }: RoundOpening): VectorLayout {
    if (isFingerprintRound(round)) return fingerprintLayout(cohort.length);
    const { manifest, values } = decodeCheckpoint(this.#base);
    return roundLayout(plan, round, cohort.length, magnitudesOf(manifest, values));
  }

  async sendMasked({ opening, masked, frame }: Ready): Promise<UploadOutcome> {
    const { round, attempt } = opening;
    return this.upload({ kind: "masked", round, attempt, masked }, frame, CHUNK_BYTES);
  }

  /** The frame as it is sent. */
  prepare(plan: Plan, opening: RoundOpening, state: Masking, layout: VectorLayout) {
    const [own] = state.masks;
    if (own === undefined) throw new Error("a site has a mask of its own");
    const { update, examples } = this;
    const values = {
      ...(isFingerprintRound(opening.round)
        ? fingerprintValues(new Uint32Array(FINGERPRINT_LENGTH))
        : { update, examples, extras: roundExtras(plan, METRICS) }),
      roundingKey: random(32),
    };
    const frame = new Uint8Array(maskedFrameBytes(layout));
    const header = maskedHeader(state.attempt, layout);
    frame.set(header);
    for (const { offset, bytes } of maskedBlocks(layout, values, [own])) {
      frame.set(bytes, header.length + offset);
    }
    const written = { sha256: sha256(frame), bytes: frame.length };
    const { broadcast: masked, keep } = contribute(state, this.self, written);
    return { opening, masked, keep, frame };
  }
}

/** All sites through one masked round, step by step, each step at all sites at once. */
export async function maskedRound(
  sites: readonly SimulatedSite[],
  opening: RoundOpening,
  plan: Plan,
  log: (line: string) => void,
): Promise<void> {
  const [first] = sites;
  if (first?.enrolment == null) throw new Error("there are sites");
  const { coordinator } = first.enrolment;
  const layout = first.layoutOf(plan, opening);

  const rosters = await Promise.all(sites.map((site) => site.show(opening, "advertise")));
  const members = rosters.map(({ roster }) => verify("roster", roster, coordinator).members);
  const attempt = openAttempt(opening, members[0] ?? [], layout);
  const advertised = sites.map((site) => advertise(attempt, site.self, random));
  log("keys");
  await atAll(sites, (site, i) => site.say(opening, { step: "advertise", keys: advertised[i]?.broadcast }));

  const lists = await Promise.all(sites.map((site) => site.show(opening, "share")));
  log("shares of keys");
  const shared = sites.map((site, i) =>
    share(required(advertised[i]).keep, site.self, required(lists[i]).keys, random),
  );
  await atAll(sites, (site, i) =>
    site.say(opening, { step: "share", dealing: required(shared[i]).broadcast }),
  );

  const deliveries = await Promise.all(sites.map((site) => site.show(opening, "mask")));
  log("masked vectors");
  const ready = sites.map((site, i) => {
    const { keep } = mask(required(shared[i]).keep, site.self, required(deliveries[i]).delivery);
    return site.prepare(plan, opening, keep, layout);
  });
  log("uploads");
  await atAll(sites, (site, i) => site.sendMasked(required(ready[i])));

  const lists3 = await Promise.all(sites.map((site) => site.show(opening, "consistency")));
  log("survivors");
  const voted = sites.map((site, i) =>
    consistency(required(ready[i]).keep, site.self, required(lists3[i]).survivors),
  );
  await atAll(sites, (site, i) =>
    site.say(opening, { step: "consistency", vote: required(voted[i]).broadcast }),
  );

  const agreements = await Promise.all(sites.map((site) => site.show(opening, "unmask")));
  log("shares for the sum");
  const released = sites.map((site, i) =>
    unmask(required(voted[i]).keep, site.self, required(agreements[i]).agreement),
  );
  await atAll(sites, (site, i) =>
    site.say(opening, { step: "unmask", release: required(released[i]).broadcast }),
  );
}

async function atAll<T>(
  sites: readonly SimulatedSite[],
  action: (site: SimulatedSite, index: number) => Promise<T>,
): Promise<void> {
  await Promise.all(sites.map(action));
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("each site has its part");
  return value;
}
