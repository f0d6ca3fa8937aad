/** What the sites' images are like in a plain federation: kept sealed as they came, opened to be summed and compared. */
import { sha256 } from "@consilium/shared/canonical";
import { fromBase64Url } from "@consilium/shared/crypto/encoding";
import { open } from "@consilium/shared/crypto/envelope";
import { verify } from "@consilium/shared/crypto/identity";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { compareWithOthers } from "@consilium/shared/fingerprint/compare";
import { decodeFingerprint, sumOfFingerprints } from "@consilium/shared/fingerprint/histogram";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import {
  MIN_SUMMED_SITES,
  type CohortStatus,
  type CohortSum,
  type FingerprintMessage,
  type ImageComparison,
} from "@consilium/shared/protocol/fingerprint";
import { auditEvent } from "../audit/events.ts";
import type { FederationRow, SiteRow } from "../store/store.ts";
import { cohortStatus, imageComparison, isUnlike, type ImagePorts, type SiteImages } from "./site-images.ts";

interface Known {
  readonly sealedSha256: Sha256;
  readonly vector: Uint32Array;
}

export class Fingerprints implements SiteImages {
  readonly #ports: ImagePorts;
  readonly #row: FederationRow;
  readonly #known = new Map<SiteId, Known>();
  #comparisons: readonly ImageComparison[] = [];

  private constructor(ports: ImagePorts, row: FederationRow) {
    this.#ports = ports;
    this.#row = row;
  }

  /** Those of earlier. One that cannot be opened any more is left out; its site sends another when it connects. */
  static async open(ports: ImagePorts, row: FederationRow): Promise<Fingerprints> {
    const { store, logger } = ports;
    const { federation } = row;
    const fingerprints = new Fingerprints(ports, row);
    const roster = new Map((await store.sites(federation)).map((site) => [site.site, site]));
    for (const { site, message } of await store.fingerprints(federation)) {
      const sender = roster.get(site);
      if (sender === undefined) continue;
      try {
        fingerprints.#known.set(site, await fingerprints.#read(sender, message));
      } catch (error) {
        logger.warn({ federation, site, code: toConsiliumError(error).code }, "a fingerprint is unreadable");
      }
    }
    fingerprints.#compare();
    return fingerprints;
  }

  /**
   * Keeps a site's newest one.
   * @throws auth.failed, crypto.bad-signature, plan.mismatch, hash.mismatch, envelope.invalid, frame.wrong-length,
   * protocol.invalid-message
   */
  async receive(sender: SiteRow, message: FingerprintMessage): Promise<void> {
    const { store, clock, logger, followAudit } = this.#ports;
    const { federation } = this.#row;
    const { site } = sender;
    const known = await this.#read(sender, message);
    if (this.#known.get(site)?.sealedSha256 === known.sealedSha256) return;
    const nowMs = clock.now();
    const data = { site, sealedSha256: known.sealedSha256 };
    await store.putFingerprint(
      { federation, site, message, receivedAtMs: nowMs },
      auditEvent(federation, "fingerprint.received", data, nowMs),
    );
    await followAudit();
    this.#known.set(site, known);
    this.#compare();
    logger.info({ federation, ...data }, "fingerprint.received");
    for (const { site: other, verdict } of this.#comparisons.filter(isUnlike))
      logger.warn({ federation, site: other, verdict }, "a site's images are unlike the others'");
  }

  /** @throws protocol.invalid-message: the coordinator works them out itself */
  report(): Promise<void> {
    return Promise.reject(new ConsiliumError("protocol.invalid-message", { culprits: ["distances"] }));
  }

  /** What a site may know of the others. */
  cohort(): CohortSum {
    const vectors = [...this.#known.values()].map(({ vector }) => vector);
    const sites = vectors.length;
    return { sites, sum: sites < MIN_SUMMED_SITES ? null : Array.from(sumOfFingerprints(vectors)) };
  }

  /** Each site beside all the others; none while there is nobody to compare with. */
  comparisons(): readonly ImageComparison[] {
    return this.#comparisons;
  }

  status(): CohortStatus {
    const { sites, sum } = this.cohort();
    return cohortStatus(sites, sum, null);
  }

  async #read({ site, identity }: SiteRow, { header, sealed }: FingerprintMessage): Promise<Known> {
    const { federation, planHash } = this.#row;
    const { body } = header;
    if (body.site !== site || body.federation !== federation) {
      throw new ConsiliumError("auth.failed", { detail: "(another site's fingerprint)", culprits: [site] });
    }
    verify("fingerprint", header, identity);
    if (body.planHash !== planHash) throw new ConsiliumError("plan.mismatch", { culprits: [site] });
    const bytes = fromBase64Url(sealed);
    const sealedSha256 = sha256(bytes);
    if (sealedSha256 !== body.sealedSha256) throw new ConsiliumError("hash.mismatch", { culprits: [site] });
    const context = { kind: "fingerprint", federation, round: 0, attempt: 0, site };
    return { sealedSha256, vector: decodeFingerprint(await open(bytes, this.#ports.identity, context)) };
  }

  #compare(): void {
    const total = sumOfFingerprints([...this.#known.values()].map(({ vector }) => vector));
    const alone = this.#known.size < 2;
    this.#comparisons = [...this.#known]
      .filter(() => !alone)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([site, { vector }]) => imageComparison(site, compareWithOthers(vector, total)));
  }
}
