/**
 * Whether this site's images are like the others', where the plan masks: its fingerprint went into the secure sum of the
 * round before the first (tasks.ts). The sum comes back, the site takes its own part out, and what it tells the coordinator
 * is how far it is from the rest, to two decimals.
 */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { sign, verify } from "@consilium/shared/crypto/identity";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import {
  compareWith,
  comparisonOf,
  fromHundredths,
  inHundredths,
  type Distances,
} from "@consilium/shared/fingerprint/compare";
import { othersIn } from "@consilium/shared/fingerprint/histogram";
import type { Sha256 } from "@consilium/shared/ids";
import type { CohortRecord, MaskedCohort } from "@consilium/shared/protocol/fingerprint";
import { FINGERPRINT_ROUND } from "@consilium/shared/protocol/round";
import type { Cohort, CohortPorts } from "./cohort.ts";
import { failedState, type Receipt } from "./receipts.ts";
import type { Membership } from "./session.ts";
import type { Link } from "./transport.ts";

export class SummedCohort implements Cohort {
  readonly #ports: CohortPorts;
  readonly #membership: Membership;
  readonly #planHash: Sha256;
  #isCompared = false;

  constructor(ports: CohortPorts, membership: Membership, planHash: Sha256) {
    this.#ports = ports;
    this.#membership = membership;
    this.#planHash = planHash;
  }

  /** Nothing goes before the round. */
  share(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Looks at the sum and reports how far this site is from the others, once in a run.
   * @throws crypto.bad-signature, plan.mismatch, federation.unknown, protocol.invalid-message
   */
  async compare(link: Pick<Link, "cohort" | "shareDistances">): Promise<void> {
    if (this.#isCompared) return;
    this.#isCompared = true;
    try {
      const cohort = await link.cohort();
      if (!("record" in cohort))
        throw new ConsiliumError("protocol.invalid-message", { culprits: ["cohort"] });
      await this.#look(cohort, link);
    } catch (error) {
      // The link is gone; the next one asks again. Training does not wait for it.
      this.#isCompared = false;
      const known = toConsiliumError(error);
      if (!known.retry) throw known;
    }
  }

  async #look({ record, givenUp }: MaskedCohort, link: Pick<Link, "shareDistances">): Promise<void> {
    const { onCohort, cohortFile } = this.#ports;
    if (record === null) {
      onCohort({ sites: 0, comparison: null, givenUp });
      return;
    }
    const body = verify("cohort", record, this.#membership.coordinator);
    this.#assertOurs(body);
    const hundredths = await this.#measure(body);
    const comparison = comparisonOf(fromHundredths(hundredths));
    const sites = body.sites.length;
    await cohortFile.see({ sites, distances: comparison.distances });
    onCohort({ sites, comparison, givenUp: null });
    await this.#report(sha256(canonicalJson({ ...body })), hundredths, link);
  }

  /** A site that joined later is not in the sum, and one whose images changed since is compared as it is now. */
  async #measure({ sites, sum, attempt }: CohortRecord): Promise<Distances> {
    const { fingerprint, cohortFile } = this.#ports;
    const own = await fingerprint();
    const total = Uint32Array.from(sum);
    const isIn = sites.includes(this.#membership.site);
    const others = isIn ? othersIn(total, (await cohortFile.given(attempt)) ?? own) : total;
    return inHundredths(compareWith(own, others).distances);
  }

  async #report(cohort: Sha256, hundredths: Distances, link: Pick<Link, "shareDistances">): Promise<void> {
    const { receipts, nowMs } = this.#ports;
    const { federation, site, identity } = this.#membership;
    const body = { federation, site, planHash: this.#planHash, cohort, hundredths: { ...hundredths } };
    const message = sign("image-distances", body, identity);
    const text = JSON.stringify(message);
    const record = (state: Receipt["state"]): Promise<void> =>
      receipts.add({
        at: new Date(nowMs()).toISOString(),
        federation,
        kind: "image-distances",
        state,
        round: FINGERPRINT_ROUND,
        attempt: 0,
        bytes: Buffer.byteLength(text),
        sha256: sha256(text),
      });
    await record("sending");
    try {
      await link.shareDistances(message);
    } catch (error) {
      const known = toConsiliumError(error);
      await record(failedState(known));
      throw known;
    }
    await record("accepted");
  }

  #assertOurs({ federation, planHash }: CohortRecord): void {
    if (federation !== this.#membership.federation) throw new ConsiliumError("federation.unknown");
    if (planHash !== this.#planHash) throw new ConsiliumError("plan.mismatch");
  }
}
