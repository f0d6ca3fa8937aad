/** From a finished local training to what may leave the site: checked, framed, sealed for the coordinator, signed. */
import { sha256 } from "@consilium/shared/canonical";
import { encodeUpdate } from "@consilium/shared/codec";
import { seal } from "@consilium/shared/crypto/envelope";
import { sign, type RandomBytes } from "@consilium/shared/crypto/identity";
import type { Signed } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import { healthOfSite } from "@consilium/shared/health/extras";
import type { Sha256 } from "@consilium/shared/ids";
import { manifestHash, type Manifest } from "@consilium/shared/manifest";
import type { ContributionHeader, RoundOpening } from "@consilium/shared/protocol/round";
import { assertFinite } from "@consilium/shared/vector";
import type { LocalRoundResult } from "../training/types.ts";
import type { Membership } from "./session.ts";

/** @throws vector.not-finite, frame.wrong-length, training.diverged */
export function sealContribution(
  { federation, site, identity, coordinator }: Membership,
  manifest: Manifest,
  { round, attempt, base, planHash }: RoundOpening,
  {
    delta,
    examples,
    metrics,
    health: found = null,
  }: Pick<LocalRoundResult, "delta" | "examples" | "metrics" | "health">,
  random: RandomBytes,
): { readonly header: Signed<ContributionHeader>; readonly sealed: Uint8Array } {
  assertFinite(manifest, delta);
  if (!Object.values(metrics).every(Number.isFinite)) throw new ConsiliumError("training.diverged");
  const sealed = seal(encodeUpdate(manifest, delta), {
    reader: coordinator,
    context: { kind: "update", federation, round, attempt, site },
    random,
  });
  const health = found && healthOfSite(found);
  const header: ContributionHeader = {
    federation,
    site,
    round,
    attempt,
    base,
    planHash,
    manifestHash: manifestHash(manifest),
    examples,
    metrics,
    ...(health && { health }),
    sealedSha256: sha256(sealed),
    sealedBytes: sealed.length,
  };
  return { header: sign("contribution", header, identity), sealed };
}

/** The initial model, sealed for the coordinator. */
export function sealGenesis(
  { federation, site, coordinator }: Membership,
  checkpoint: Uint8Array,
  random: RandomBytes,
): { readonly sealed: Uint8Array; readonly sealedSha256: Sha256 } {
  const sealed = seal(checkpoint, {
    reader: coordinator,
    context: { kind: "genesis", federation, round: 0, attempt: 0, site },
    random,
  });
  return { sealed, sealedSha256: sha256(sealed) };
}
