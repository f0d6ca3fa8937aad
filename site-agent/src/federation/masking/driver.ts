/**
 * A site's part in secure aggregation, around the round functions of shared/secagg. What it holds to
 * (docs/secure-aggregation.md): a state is on disk before what follows from it is sent, and a retry sends the same bytes;
 * attempts only count up; a site that has sent values in a round sends the same in no other attempt of it. What is added up
 * is its caller's affair: updates, or what the sites' images are like.
 */
import { verify, type RandomBytes } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import type { SiteId } from "@consilium/shared/ids";
import type { MaskingMessage, MaskingQuery, MaskingShown, ShownIn } from "@consilium/shared/protocol/masking";
import { isFingerprintRound, type MaskingStep, type RoundOpening } from "@consilium/shared/protocol/round";
import { openAttempt, tooFew, type Self } from "@consilium/shared/secagg/attempt";
import type { PrivateValues } from "@consilium/shared/secagg/encode";
import { layoutHash, type VectorLayout } from "@consilium/shared/secagg/layout";
import { advertise } from "@consilium/shared/secagg/site/advertise";
import { consistency } from "@consilium/shared/secagg/site/consistency";
import { contribute } from "@consilium/shared/secagg/site/contribute";
import { mask } from "@consilium/shared/secagg/site/mask";
import { share } from "@consilium/shared/secagg/site/share";
import { unmask } from "@consilium/shared/secagg/site/unmask";
import type { ByteSource } from "../../home/files.ts";
import type { RosterKeeper } from "../../governance/roster-keeper.ts";
import type { Membership } from "../session.ts";
import { FrameThread } from "./frame-thread.ts";
import { compareAttempts, type KeptMasking, type MaskingFolder, type SiteState } from "./kept.ts";

export interface MaskingPorts {
  readonly folder: MaskingFolder;
  readonly roster: Pick<RosterKeeper, "accept">;
  readonly random: RandomBytes;
}

/** What is asked of a link. */
export interface MaskingLink {
  readonly session: string;
  showMasking(query: MaskingQuery): Promise<MaskingShown>;
}

type PhaseOf<Phase extends SiteState["phase"]> = Extract<SiteState, { phase: Phase }>;
type SaidIn<Step extends MaskingStep> = Extract<MaskingMessage, { step: Step }>;

/** What a site puts into a sum. */
export type Summand = Omit<PrivateValues, "roundingKey">;

export class SiteMasking {
  readonly #ports: MaskingPorts;
  readonly #membership: Membership;
  readonly #minSites: number;
  #thread: FrameThread | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;
  /** Context of the attempt whose masks the thread holds. */
  #begun: string | null = null;

  /** @param minSites of the plan: fewer survivors get no signature */
  constructor(ports: MaskingPorts, membership: Membership, minSites: number) {
    this.#ports = ports;
    this.#membership = membership;
    this.#minSites = minSites;
  }

  /** The attempt whose vector lies on disk as it will be sent. */
  async ready(): Promise<RoundOpening | null> {
    const kept = await this.#ports.folder.read();
    const isReady = kept !== null && kept !== "damaged" && kept.state.phase === "contributed";
    return isReady ? kept.state.attempt.terms : null;
  }

  /** Whether an update of this round may be in a sum that somebody can open. */
  async hasSentIn(round: number): Promise<boolean> {
    const kept = await this.#ports.folder.read();
    return kept === "damaged" || kept?.sentIn === round;
  }

  /**
   * Fresh keys for this attempt.
   * @param layout of the vector that will be masked
   * @throws secagg.other-attempt if a later attempt was begun already, secagg.spent if this site may give its values into no
   *   further sum of this round, secagg.roster-changed, roster.*,
   *   crypto.bad-signature, protocol.invalid-message
   */
  advertise(opening: RoundOpening, layout: VectorLayout, link: MaskingLink): Promise<SaidIn<"advertise">> {
    return this.#inTurn(() => this.#advertise(opening, layout, link));
  }

  async #advertise(
    opening: RoundOpening,
    layout: VectorLayout,
    link: MaskingLink,
  ): Promise<SaidIn<"advertise">> {
    const { folder, random } = this.#ports;
    const kept = await this.#read(opening);
    const order = kept === null ? 1 : compareAttempts(opening, kept.state.attempt.terms);
    if (kept !== null && order === 0) return saidIn(kept, "advertise");
    if (order < 0) throw new ConsiliumError("secagg.other-attempt", { detail: "(an attempt that was over)" });
    // An update can be trained again with other crops; what the images are like stays what it is.
    if (isFingerprintRound(opening.round) && kept?.sentIn === opening.round) {
      throw new ConsiliumError("secagg.spent", { detail: "(this site's fingerprint is in a sum already)" });
    }
    const { roster } = await show(link, opening, "advertise");
    const members = await this.#believe(opening, roster, link.session);
    const attempt = openAttempt(opening, members, layout);
    await folder.removeFrame();
    const { broadcast: keys, keep: state } = advertise(attempt, this.#self, random);
    const said = { step: "advertise", keys } as const;
    await folder.write({ state, said, sentIn: kept?.sentIn ?? null });
    return said;
  }

  /** @throws as share in shared/secagg/site */
  share(opening: RoundOpening, link: MaskingLink): Promise<SaidIn<"share">> {
    return this.#inTurn(() => this.#share(opening, link));
  }

  async #share(opening: RoundOpening, link: MaskingLink): Promise<SaidIn<"share">> {
    const kept = await this.#kept(opening);
    if (kept.state.phase !== "advertised") return saidIn(kept, "share");
    const { keys } = await show(link, opening, "share");
    const { broadcast: dealing, keep: state } = share(kept.state, this.#self, keys, this.#ports.random);
    const said = { step: "share", dealing } as const;
    await this.#ports.folder.write({ ...kept, state, said });
    return said;
  }

  /**
   * Opens what the others dealt, and begins to add up the masks in a thread of its own.
   * @throws as mask in shared/secagg/site
   */
  listen(opening: RoundOpening, layout: VectorLayout, link: MaskingLink): Promise<void> {
    return this.#inTurn(() => this.#listen(opening, layout, link));
  }

  async #listen(opening: RoundOpening, layout: VectorLayout, link: MaskingLink): Promise<void> {
    const kept = await this.#kept(opening);
    if (kept.state.phase === "shared") {
      const { delivery } = await show(link, opening, "mask");
      const { keep: state } = mask(kept.state, this.#self, delivery);
      await this.#ports.folder.write({ ...kept, state, said: null });
      this.#begin(state, layout);
      return;
    }
    this.#begin(expectPhase(kept.state, "masking"), layout);
  }

  /**
   * Writes the masked vector and stands for it. Once in an attempt: afterwards there are no masks any more.
   * @throws secagg.spent, vector.not-finite, disk.full
   */
  seal(opening: RoundOpening, layout: VectorLayout, summand: Summand): Promise<void> {
    return this.#inTurn(() => this.#seal(opening, layout, summand));
  }

  async #seal(opening: RoundOpening, layout: VectorLayout, summand: Summand): Promise<void> {
    const { folder, random } = this.#ports;
    const kept = await this.#kept(opening);
    const state = expectPhase(kept.state, "masking");
    const thread = this.#begin(state, layout);
    this.#begun = null;
    const values = { ...summand, roundingKey: random(32) };
    const frame = await thread.write({ file: folder.draftFile, values }).catch(async (error: unknown) => {
      // Whatever became of the thread, the next try begins with another.
      await this.#endThread();
      throw error;
    });
    await folder.keepFrame();
    const { broadcast: masked, keep } = contribute(state, this.#self, frame);
    await folder.write({ ...kept, state: keep, said: { step: "mask", masked } });
  }

  /**
   * The vector's header, as it is sent, and its bytes. From here on it counts as sent: a site that is gone before the vote is
   * a survivor all the same, and the others can open the sum without its vote or its shares.
   * @throws secagg.spent
   */
  vector(opening: RoundOpening): Promise<{ said: SaidIn<"mask">; source: ByteSource }> {
    return this.#inTurn(() => this.#vector(opening));
  }

  async #vector(opening: RoundOpening): Promise<{ said: SaidIn<"mask">; source: ByteSource }> {
    const { folder } = this.#ports;
    const kept = await this.#kept(opening);
    const said = saidIn(kept, "mask");
    if (kept.sentIn !== opening.round) await folder.write({ ...kept, sentIn: opening.round });
    return { said, source: await folder.frame() };
  }

  /** @throws as consistency in shared/secagg/site */
  vote(opening: RoundOpening, link: MaskingLink): Promise<SaidIn<"consistency">> {
    return this.#inTurn(() => this.#vote(opening, link));
  }

  async #vote(opening: RoundOpening, link: MaskingLink): Promise<SaidIn<"consistency">> {
    const kept = await this.#kept(opening);
    if (kept.state.phase !== "contributed") return saidIn(kept, "consistency");
    const { survivors } = await show(link, opening, "consistency");
    this.#assertEnough(opening, survivors.survivors);
    const { broadcast: vote, keep: state } = consistency(kept.state, this.#self, survivors);
    const said = { step: "consistency", vote } as const;
    await this.#ports.folder.write({ ...kept, state, said });
    return said;
  }

  /** @throws as unmask in shared/secagg/site */
  release(opening: RoundOpening, link: MaskingLink): Promise<SaidIn<"unmask">> {
    return this.#inTurn(() => this.#release(opening, link));
  }

  async #release(opening: RoundOpening, link: MaskingLink): Promise<SaidIn<"unmask">> {
    const { folder } = this.#ports;
    const kept = await this.#kept(opening);
    if (kept.state.phase !== "voted") return saidIn(kept, "unmask");
    const { agreement } = await show(link, opening, "unmask");
    const { broadcast: release, keep: state } = unmask(kept.state, this.#self, agreement);
    const said = { step: "unmask", release } as const;
    await folder.write({ ...kept, state, said });
    await folder.removeFrame();
    return said;
  }

  /** The federation is over: how far it went is all that stays, so that nobody is led through it a second time. */
  async clear(): Promise<void> {
    await this.close();
    const { folder } = this.#ports;
    const kept = await folder.read();
    await folder.clear();
    if (kept === null || kept === "damaged") return;
    await folder.write(closedAt(kept.state.attempt.terms, kept.sentIn));
  }

  /**
   * Whoever comes next finds the state as it stays: what was begun has written its own, or has failed, and nothing is begun
   * any more, whatever work of the agent's has not heard yet that it stops.
   */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#endThread();
    await this.#last;
    // It may have needed one of its own.
    await this.#endThread();
  }

  async #endThread(): Promise<void> {
    const thread = this.#thread;
    this.#thread = this.#begun = null;
    await thread?.close();
  }

  /** The agent drops work that is overtaken by a newer attempt, but what was begun still writes its state. */
  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new Error("this site has stopped"));
    const result = this.#last.then(action);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** The coordinator may not make a sum smaller than what the sites agreed on by losing some of them on the way. */
  #assertEnough({ cohort }: RoundOpening, survivors: readonly SiteId[]): void {
    if (survivors.length >= this.#minSites) return;
    const lost = cohort.filter((site) => !survivors.includes(site));
    throw tooFew(survivors.length, this.#minSites, lost);
  }

  get #self(): Self {
    const { site, identity } = this.#membership;
    return { site, identity };
  }

  /** @throws crypto.bad-signature, secagg.other-attempt, secagg.roster-changed, roster.* */
  async #believe(opening: RoundOpening, signed: ShownIn<"advertise">["roster"], session: string) {
    const { federation, coordinator } = this.#membership;
    const roster = verify("roster", signed, coordinator);
    if (roster.federation !== federation || compareAttempts(roster, opening) !== 0) {
      throw new ConsiliumError("secagg.other-attempt", { detail: "(the roster)" });
    }
    const { version, members } = roster;
    await this.#ports.roster.accept({ federation, version, members }, session);
    return members;
  }

  #begin({ attempt, masks }: PhaseOf<"masking">, layout: VectorLayout): FrameThread {
    if (layoutHash(layout) !== attempt.terms.layout) throw new ConsiliumError("secagg.other-attempt");
    this.#thread ??= new FrameThread();
    if (this.#begun !== attempt.context) this.#thread.begin({ attempt, layout, masks });
    this.#begun = attempt.context;
    return this.#thread;
  }

  /** What was said before the damage nobody knows: this attempt is refused, and the round counts as one that it has sent in. */
  async #read(opening: RoundOpening): Promise<KeptMasking | null> {
    const { folder } = this.#ports;
    const kept = await folder.read();
    if (kept !== "damaged") return kept;
    const closed = closedAt(opening, opening.round);
    await folder.write(closed);
    return closed;
  }

  /** @throws secagg.spent if the state is of another attempt, or was lost */
  async #kept(opening: RoundOpening): Promise<KeptMasking> {
    const kept = await this.#read(opening);
    if (kept === null || compareAttempts(kept.state.attempt.terms, opening) !== 0) {
      throw new ConsiliumError("secagg.spent", { detail: "(this site has no keys of it)" });
    }
    return kept;
  }
}

function closedAt(
  { round, attempt }: Pick<RoundOpening, "round" | "attempt">,
  sentIn: number | null,
): KeptMasking {
  return { state: { phase: "closed", attempt: { terms: { round, attempt } } }, said: null, sentIn };
}

/** @throws secagg.spent if this site has gone on since */
function saidIn<Step extends MaskingStep>({ said }: KeptMasking, step: Step): SaidIn<Step> {
  const isOf = (message: MaskingMessage): message is SaidIn<Step> => message.step === step;
  if (said === null || !isOf(said)) throw new ConsiliumError("secagg.spent");
  return said;
}

function expectPhase<Phase extends SiteState["phase"]>(state: SiteState, phase: Phase): PhaseOf<Phase> {
  const isOf = (other: SiteState): other is PhaseOf<Phase> => other.phase === phase;
  if (!isOf(state)) throw new ConsiliumError("secagg.spent");
  return state;
}

/** @throws protocol.invalid-message if it shows another step's */
async function show<Step extends MaskingStep>(
  link: MaskingLink,
  { round, attempt }: RoundOpening,
  step: Step,
): Promise<ShownIn<Step>> {
  const shown = await link.showMasking({ round, attempt, step });
  const isOf = (other: MaskingShown): other is ShownIn<Step> => other.step === step;
  if (!isOf(shown)) throw new ConsiliumError("protocol.invalid-message", { culprits: ["step"] });
  return shown;
}
