/**
 * Whether this site's images are like the others'. In a plain federation its fingerprint goes to the coordinator before the
 * site says hello, and the sum of all comes back once a round is open; where the plan masks, see masked-cohort.ts. Only the
 * transport lies here; what a fingerprint is, and what is far, is in shared/src/fingerprint.
 */
import { sha256 } from "@consilium/shared/canonical";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import { seal } from "@consilium/shared/crypto/envelope";
import { sign, type RandomBytes } from "@consilium/shared/crypto/identity";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { compareWithOthers, type Comparison } from "@consilium/shared/fingerprint/compare";
import { encodeFingerprint } from "@consilium/shared/fingerprint/histogram";
import type { Sha256 } from "@consilium/shared/ids";
import type { FederationPosition } from "@consilium/shared/protocol/events";
import type { FingerprintMessage } from "@consilium/shared/protocol/fingerprint";
import { isFingerprintRound } from "@consilium/shared/protocol/round";
import type { CohortFile } from "./cohort-file.ts";
import { failedState, type Receipt, type Receipts } from "./receipts.ts";
import type { Membership } from "./session.ts";
import type { Link } from "./transport.ts";

export interface CohortPorts {
  readonly receipts: Receipts;
  readonly random: RandomBytes;
  readonly nowMs: () => number;
  /** Of the images that this site trains on. */
  readonly fingerprint: () => Promise<Uint32Array>;
  readonly cohortFile: CohortFile;
  readonly onCohort: (report: CohortReport) => void;
}

export interface CohortReport {
  /** Whose fingerprints are in the sum, or lie at the coordinator. */
  readonly sites: number;
  /** Null while there are too few for a sum. */
  readonly comparison: Comparison | null;
  /** Why there will be no sum: an error code. */
  readonly givenUp: string | null;
}

/** What the agent does about it. */
export interface Cohort {
  /** Before hello. @throws coordinator.unreachable, and what the coordinator reports */
  share(link: Pick<Link, "shareFingerprint">): Promise<void>;
  /** Once there may be a sum. @throws what makes the coordinator unbelievable */
  compare(link: Pick<Link, "cohort" | "shareDistances">): Promise<void>;
}

/** Whoever takes part in a round that is open or over has said what its images are like, before or in the round before the first. */
export function mayHaveSum(position: FederationPosition): boolean {
  switch (position.phase) {
    case "waiting":
      return false;
    case "open":
      return !isFingerprintRound(position.opening.body.round);
    case "aggregating":
      return !isFingerprintRound(position.round);
    case "finished":
      return true;
  }
}

export class PlainCohort implements Cohort {
  readonly #ports: CohortPorts;
  readonly #membership: Membership;
  readonly #planHash: Sha256;
  #own: Uint32Array | null = null;
  /** Sealed once, so that a retry sends the same bytes. */
  #message: { readonly message: FingerprintMessage; readonly bytes: number } | null = null;
  #isShared = false;
  #isCompared = false;

  constructor(ports: CohortPorts, membership: Membership, planHash: Sha256) {
    this.#ports = ports;
    this.#membership = membership;
    this.#planHash = planHash;
  }

  /** Sends this site's fingerprint, once in a run. @throws coordinator.unreachable, and what the coordinator reports */
  async share(link: Pick<Link, "shareFingerprint">): Promise<void> {
    if (this.#isShared) return;
    this.#own ??= await this.#ports.fingerprint();
    this.#message ??= this.#seal(this.#own);
    const { message, bytes } = this.#message;
    const { sealedSha256 } = message.header.body;
    const record = (state: Receipt["state"]): Promise<void> =>
      this.#ports.receipts.add({
        at: new Date(this.#ports.nowMs()).toISOString(),
        federation: this.#membership.federation,
        kind: "fingerprint",
        state,
        round: 0,
        attempt: 0,
        bytes,
        sha256: sealedSha256,
      });
    await record("sending");
    try {
      await link.shareFingerprint(message);
    } catch (error) {
      await record(failedState(toConsiliumError(error)));
      throw error;
    }
    this.#isShared = true;
    await record("accepted");
  }

  /** Asks for the sum and reports how far this site is from the others, once in a run. */
  async compare(link: Pick<Link, "cohort">): Promise<void> {
    if (this.#own === null || this.#isCompared) return;
    this.#isCompared = true;
    try {
      const cohort = await link.cohort();
      if ("record" in cohort) throw new ConsiliumError("protocol.invalid-message", { culprits: ["cohort"] });
      const { sites, sum } = cohort;
      const comparison = sum === null ? null : compareWithOthers(this.#own, Uint32Array.from(sum));
      this.#ports.onCohort({ sites, comparison, givenUp: null });
    } catch {
      // The link is gone; the next one asks again. Training does not wait for it.
      this.#isCompared = false;
    }
  }

  #seal(fingerprint: Uint32Array): { message: FingerprintMessage; bytes: number } {
    const { federation, site, identity, coordinator } = this.#membership;
    const sealed = seal(encodeFingerprint(fingerprint), {
      reader: coordinator,
      context: { kind: "fingerprint", federation, round: 0, attempt: 0, site },
      random: this.#ports.random,
    });
    const header = { federation, site, planHash: this.#planHash, sealedSha256: sha256(sealed) };
    return {
      message: { header: sign("fingerprint", header, identity), sealed: toBase64Url(sealed) },
      bytes: sealed.length,
    };
  }
}
