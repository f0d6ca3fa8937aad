/**
 * What the sites' images are like where the plan masks: the coordinator knows the sum of the round before the first, and of
 * each site how far it says to be from the others. No fingerprint of one site ever comes here.
 */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { verify } from "@consilium/shared/crypto/identity";
import type { Signed } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import { comparisonOf, fromHundredths } from "@consilium/shared/fingerprint/compare";
import type { SiteId } from "@consilium/shared/ids";
import type {
  CohortStatus,
  DistancesMessage,
  ImageComparison,
  MaskedCohort,
} from "@consilium/shared/protocol/fingerprint";
import { auditEvent } from "../audit/events.ts";
import type { FederationRow, SiteRow } from "../store/store.ts";
import type { Ledger } from "./ledger.ts";
import { cohortStatus, imageComparison, isUnlike, type ImagePorts, type SiteImages } from "./site-images.ts";

export class MaskedImages implements SiteImages {
  readonly #ports: ImagePorts;
  readonly #row: FederationRow;
  readonly #ledger: Pick<Ledger, "cohort">;
  readonly #known = new Map<SiteId, DistancesMessage>();

  private constructor(ports: ImagePorts, row: FederationRow, ledger: Pick<Ledger, "cohort">) {
    this.#ports = ports;
    this.#row = row;
    this.#ledger = ledger;
  }

  static async open(
    ports: ImagePorts,
    row: FederationRow,
    ledger: Pick<Ledger, "cohort">,
  ): Promise<MaskedImages> {
    const images = new MaskedImages(ports, row, ledger);
    for (const { message } of await ports.store.distances(row.federation))
      images.#known.set(message.body.site, message.body);
    return images;
  }

  /** @throws protocol.invalid-message: a fingerprint that is not masked is not taken */
  receive({ site }: SiteRow): Promise<void> {
    const detail = "(the plan masks: fingerprints are added up before the first round)";
    return Promise.reject(new ConsiliumError("protocol.invalid-message", { detail, culprits: [site] }));
  }

  /** @throws auth.failed, crypto.bad-signature, plan.mismatch, hash.mismatch (of another sum) */
  async report({ site, identity }: SiteRow, message: Signed<DistancesMessage>): Promise<void> {
    const { store, clock, logger, followAudit } = this.#ports;
    const { federation, planHash } = this.#row;
    const { body } = message;
    if (body.site !== site || body.federation !== federation) {
      throw new ConsiliumError("auth.failed", { detail: "(another site's distances)", culprits: [site] });
    }
    verify("image-distances", message, identity);
    if (body.planHash !== planHash) throw new ConsiliumError("plan.mismatch", { culprits: [site] });
    const record = this.#ledger.cohort?.record ?? null;
    if (record === null || body.cohort !== sha256(canonicalJson({ ...record.body }))) {
      throw new ConsiliumError("hash.mismatch", { detail: "(another sum)", culprits: [site] });
    }
    const known = this.#known.get(site);
    if (known !== undefined && canonicalJson({ ...known }) === canonicalJson({ ...body })) return;
    const nowMs = clock.now();
    const data = { site, hundredths: { ...body.hundredths } };
    await store.putDistances(
      { federation, site, message, receivedAtMs: nowMs },
      auditEvent(federation, "distances.received", data, nowMs),
    );
    await followAudit();
    this.#known.set(site, body);
    const comparison = comparisonFrom(body);
    const { verdict } = comparison;
    if (isUnlike(comparison))
      logger.warn({ federation, site, verdict }, "a site's images are unlike the others'");
    else logger.info({ federation, site, verdict }, "distances.received");
  }

  cohort(): MaskedCohort {
    return this.#ledger.cohort ?? { record: null, givenUp: null };
  }

  comparisons(): readonly ImageComparison[] {
    return [...this.#known.values()].sort((a, b) => (a.site < b.site ? -1 : 1)).map(comparisonFrom);
  }

  status(): CohortStatus {
    const { record, givenUp } = this.cohort();
    return cohortStatus(record?.body.sites.length ?? 0, record?.body.sum ?? null, givenUp);
  }
}

const comparisonFrom = ({ site, hundredths }: DistancesMessage): ImageComparison =>
  imageComparison(site, comparisonOf(fromHundredths(hundredths)));
