/** What must hold before a site is listened to, or an update's bytes are taken. Pure checks that throw typed errors. */
import { verify } from "@consilium/shared/crypto/identity";
import type { PublicIdentity, Signed } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import type { Hello } from "@consilium/shared/protocol/events";
import type { ContributionHeader } from "@consilium/shared/protocol/round";
import { PROTOCOL_VERSION } from "@consilium/shared/protocol/version";
import type { ModelLayout } from "./layout.ts";
import { expectedGenesis } from "./reducer.ts";
import type { FederationState } from "./types.ts";

/** @throws protocol.version, plan.mismatch, manifest.mismatch (another initial model: other code or another plan), roster.pending */
export function admitHello(hello: Hello, site: SiteId, planHash: Sha256, state: FederationState): void {
  if (hello.protocol !== PROTOCOL_VERSION) throw new ConsiliumError("protocol.version", { culprits: [site] });
  if (hello.planHash !== planHash) throw new ConsiliumError("plan.mismatch", { culprits: [site] });
  const expected = expectedGenesis(state);
  if (expected !== null && hello.genesis !== expected) {
    throw new ConsiliumError("manifest.mismatch", {
      detail: "(the initial models differ)",
      culprits: [site],
    });
  }
  if (!state.roster.includes(site)) throw new ConsiliumError("roster.pending", { culprits: [site] });
}

/** @throws auth.failed, crypto.bad-signature, plan.mismatch */
export function admitSender(
  header: Signed<ContributionHeader>,
  sender: { readonly site: SiteId; readonly identity: PublicIdentity },
  federation: string,
  planHash: Sha256,
): void {
  const culprits = [sender.site];
  if (header.body.site !== sender.site || header.body.federation !== federation) {
    throw new ConsiliumError("auth.failed", { detail: "(another site's contribution)", culprits });
  }
  verify("contribution", header, sender.identity);
  if (header.body.planHash !== planHash) throw new ConsiliumError("plan.mismatch", { culprits });
}

/** @throws manifest.mismatch, upload.too-large, frame.wrong-length */
export function admitSize(header: ContributionHeader, layout: ModelLayout): void {
  const culprits = [header.site];
  if (header.manifestHash !== layout.manifestHash) {
    throw new ConsiliumError("manifest.mismatch", { culprits });
  }
  if (header.sealedBytes > layout.sealedUpdateBytes) {
    throw new ConsiliumError("upload.too-large", { culprits });
  }
  if (header.sealedBytes < layout.sealedUpdateBytes) {
    throw new ConsiliumError("frame.wrong-length", { culprits });
  }
}

/** Whether this site may upload this initial model now. @throws round.not-open, manifest.mismatch */
export function admitGenesis(
  { genesis, genesisClaim }: FederationState,
  site: SiteId,
  sha256: Sha256,
): "wanted" | "duplicate" {
  if (genesis === sha256) return "duplicate";
  if (genesisClaim?.site !== site) throw new ConsiliumError("round.not-open", { culprits: [site] });
  if (genesisClaim.sha256 !== sha256) throw new ConsiliumError("manifest.mismatch", { culprits: [site] });
  return "wanted";
}
