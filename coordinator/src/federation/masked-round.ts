/**
 * A masked attempt at the coordinator: the messages that it holds, put through the round functions of shared/secagg. It
 * keeps no secret and no state of its own; what it shows follows from the stored messages, before a restart as after.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { SiteId } from "@consilium/shared/ids";
import type { Signed } from "@consilium/shared/crypto/signed";
import type { MaskingMessage, MaskingShown, RosterRecord } from "@consilium/shared/protocol/masking";
import type { MaskingStep } from "@consilium/shared/protocol/round";
import type { Attempt } from "@consilium/shared/secagg/attempt";
import { assertKeys, collect } from "@consilium/shared/secagg/coordinator/collect";
import { assertDealing, route } from "@consilium/shared/secagg/coordinator/route";
import {
  assertMasked,
  assertVote,
  collectVotes,
  listSurvivors,
} from "@consilium/shared/secagg/coordinator/survivors";
import { assertRelease, unmaskGroups, type Unmaskings } from "@consilium/shared/secagg/coordinator/unmask";
import { maskedFrameBytes } from "@consilium/shared/secagg/frame";
import type { VectorLayout } from "@consilium/shared/secagg/layout";
import type { HeldMessage } from "./masking-steps.ts";

export interface MaskedTerms {
  readonly attempt: Attempt;
  readonly layout: VectorLayout;
  readonly roster: Signed<RosterRecord>;
}

type MessageIn<Step extends MaskingStep> = Extract<MaskingMessage, { step: Step }>;

export class MaskedRound {
  readonly terms: MaskedTerms;
  readonly #messages: () => readonly HeldMessage[];
  /** Signed messages of sites that were found right: they are not looked at again when their step is over. */
  readonly #checked = new WeakSet<object>();
  // Each is made once its step is over, when no message of it can come or go any more.
  #collected: ReturnType<typeof collect> | null = null;
  #routed: ReturnType<typeof route> | null = null;
  #listed: ReturnType<typeof listSurvivors> | null = null;
  #agreed: ReturnType<typeof collectVotes> | null = null;

  /** @param messages held now, of all steps so far */
  constructor(terms: MaskedTerms, messages: () => readonly HeldMessage[]) {
    this.terms = terms;
    this.#messages = messages;
  }

  /**
   * Whether a message of the current step is one that the sum can be made with.
   * @throws auth.failed for another site's message, and as the step's check in shared/secagg/coordinator
   */
  admit(site: SiteId, message: MaskingMessage): void {
    if (authorOf(message) !== site) {
      throw new ConsiliumError("auth.failed", { detail: "(another site's message)", culprits: [site] });
    }
    const signed = signedIn(message);
    if (this.#checked.has(signed)) return;
    this.#check(message);
    this.#checked.add(signed);
  }

  #check(message: MaskingMessage): void {
    const { attempt, layout } = this.terms;
    switch (message.step) {
      case "advertise": {
        const keys = this.#of("advertise").flatMap(({ keys: { body } }) => [body.sealKey, body.pairKey]);
        assertKeys(attempt, message.keys, new Set(keys));
        return;
      }
      case "share":
        assertDealing(this.#collect().keep, message.dealing);
        return;
      case "mask":
        assertMasked(this.#route().keep, message.masked, maskedFrameBytes(layout));
        return;
      case "consistency":
        assertVote(this.#list().keep, message.vote);
        return;
      case "unmask":
        assertRelease(this.#agree().keep, message.release);
        return;
    }
  }

  /** What a site of the current step is shown. @throws round.not-open if it is not in it */
  show(step: MaskingStep, site: SiteId): MaskingShown {
    switch (step) {
      case "advertise":
        return { step, roster: this.terms.roster };
      case "share":
        return { step, keys: this.#collect().broadcast };
      case "mask": {
        const delivery = this.#route().broadcast.get(site);
        if (delivery === undefined) throw new ConsiliumError("round.not-open", { culprits: [site] });
        return { step, delivery };
      }
      case "consistency":
        return { step, survivors: this.#list().broadcast };
      case "unmask":
        return { step, agreement: this.#agree().broadcast };
    }
  }

  /** Which masks are left in each sum. @throws secagg.too-few-sites, secagg.bad-dealing */
  unmaskings(): Unmaskings {
    const releases = this.#of("unmask").map(({ release }) => release);
    return unmaskGroups(this.#agree().keep, releases, this.#checked);
  }

  #collect() {
    return (this.#collected ??= collect(
      this.terms.attempt,
      this.#of("advertise").map(({ keys }) => keys),
      this.#checked,
    ));
  }

  #route() {
    return (this.#routed ??= route(
      this.#collect().keep,
      this.#of("share").map(({ dealing }) => dealing),
      this.#checked,
    ));
  }

  #list() {
    return (this.#listed ??= listSurvivors(
      this.#route().keep,
      this.#of("mask").map(({ masked }) => masked),
      maskedFrameBytes(this.terms.layout),
      this.#checked,
    ));
  }

  #agree() {
    return (this.#agreed ??= collectVotes(
      this.#list().keep,
      this.#of("consistency").map(({ vote }) => vote),
      this.#checked,
    ));
  }

  #of<Step extends MaskingStep>(step: Step): MessageIn<Step>[] {
    const isOf = (message: MaskingMessage): message is MessageIn<Step> => message.step === step;
    return this.#messages()
      .map(({ message }) => message)
      .filter(isOf);
  }
}

/** What the step's check is about. */
function signedIn(message: MaskingMessage): object {
  switch (message.step) {
    case "advertise":
      return message.keys;
    case "share":
      return message.dealing;
    case "mask":
      return message.masked;
    case "consistency":
      return message.vote;
    case "unmask":
      return message.release;
  }
}

function authorOf(message: MaskingMessage): SiteId {
  switch (message.step) {
    case "advertise":
      return message.keys.body.site;
    case "share":
      return message.dealing.dealing.body.site;
    case "mask":
      return message.masked.body.site;
    case "consistency":
      return message.vote.body.site;
    case "unmask":
      return message.release.body.site;
  }
}
