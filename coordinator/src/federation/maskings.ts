/** The masked attempt that is under way: its terms, made once, and its messages out of the ledger. */
import { sign, type Identity } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import { fingerprintLayout } from "@consilium/shared/fingerprint/masked";
import type { SiteId } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import { isFingerprintRound, type RoundOpening } from "@consilium/shared/protocol/round";
import type { VersionedRoster } from "@consilium/shared/roster/roster";
import { openAttempt } from "@consilium/shared/secagg/attempt";
import { roundLayout } from "@consilium/shared/secagg/plan-layout";
import type { Aggregator } from "../aggregation/tasks.ts";
import type { MaskingRow } from "../store/store.ts";
import type { Ledger } from "./ledger.ts";
import { MaskedRound } from "./masked-round.ts";

export interface MaskingPorts {
  readonly aggregator: Pick<Aggregator, "magnitudes">;
  readonly identity: Identity;
  readonly plan: Plan;
  readonly ledger: Ledger;
  /** With the keys that these sites had when the attempt began. */
  readonly rosterOf: (sites: readonly SiteId[]) => VersionedRoster;
}

export class Maskings {
  readonly #ports: MaskingPorts;
  #newest: { readonly key: string; readonly round: Promise<MaskedRound> } | null = null;

  constructor(ports: MaskingPorts) {
    this.#ports = ports;
  }

  /** @throws round.not-open unless this attempt is under way, frame.*, blob.unknown */
  of(opening: RoundOpening): Promise<MaskedRound> {
    const { round, attempt } = opening;
    const key = `${round}/${attempt}`;
    if (this.#newest?.key === key) return this.#newest.round;
    const made = this.#make(opening);
    this.#newest = { key, round: made };
    made.catch(() => (this.#newest = null));
    return made;
  }

  async #make(opening: RoundOpening): Promise<MaskedRound> {
    const { aggregator, identity, plan, rosterOf } = this.#ports;
    const { federation, round, attempt } = opening;
    const { version, members } = rosterOf(this.#row(opening).roster);
    const sites = opening.cohort.length;
    const layout = isFingerprintRound(round)
      ? fingerprintLayout(sites)
      : roundLayout(plan, round, sites, await aggregator.magnitudes(opening.base));
    const terms = {
      attempt: openAttempt(opening, members, layout),
      layout,
      roster: sign("roster", { federation, round, attempt, version, members }, identity),
    };
    return new MaskedRound(terms, () => this.#row(opening).messages);
  }

  #row({ round, attempt }: RoundOpening): MaskingRow {
    const last = this.#ports.ledger.rounds.at(-1);
    if (last?.round !== round || last.attempt !== attempt || last.masking === null) {
      throw new ConsiliumError("round.not-open");
    }
    return last.masking;
  }
}
