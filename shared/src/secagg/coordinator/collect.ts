/** Round 1 at the coordinator: the keys of all sites that answered, shown to all of them. */
import { fromBase64Url } from "../../crypto/encoding.ts";
import { ConsiliumError } from "../../errors.ts";
import { verifyMember, type Attempt } from "../attempt.ts";
import { agreement } from "../derive.ts";
import { assertEnough, bySite } from "../key-list.ts";
import { meshOf, type Mesh } from "../mesh.ts";
import type { KeyList, SignedKeys } from "../messages.ts";
import type { CoordinatorRound } from "../round.ts";
import { admit, type Checked } from "./admit.ts";

export interface Collected {
  readonly phase: "collected";
  readonly attempt: Attempt;
  readonly mesh: Mesh;
  /** In the order of the sites' names. */
  readonly keys: readonly SignedKeys[];
}

/** Any scalar tells a point of low order: clamping makes it a multiple of the cofactor (RFC 7748, section 5). */
const probe = agreement(new Uint8Array(32).fill(1));

/**
 * @param checked by `assertKeys`, against those before them
 * @throws secagg.too-few-sites, naming the sites without usable keys
 */
export function collect(
  attempt: Attempt,
  messages: readonly SignedKeys[],
  checked?: Checked,
): CoordinatorRound<KeyList, Collected> {
  const seen = new Set<string>();
  const { admitted, refused } = admit(
    messages,
    ({ body }) => body.site,
    (signed) => {
      assertKeys(attempt, signed, seen);
      seen.add(signed.body.sealKey).add(signed.body.pairKey);
    },
    checked,
  );
  assertEnough(attempt, [...admitted.keys()]);
  const keys = bySite([...admitted.values()]);
  return {
    broadcast: { context: attempt.context, keys },
    keep: { phase: "collected", attempt, mesh: meshOf(attempt, keys), keys },
    refused,
  };
}

/**
 * What `collect` asks of one message.
 * @param seen keys of the sites before
 * @throws crypto.bad-signature, secagg.other-attempt, site.unknown, secagg.bad-key
 */
export function assertKeys(attempt: Attempt, signed: SignedKeys, seen: ReadonlySet<string>): void {
  const { site, sealKey, pairKey } = verifyMember(attempt, "secagg-keys", signed);
  for (const key of [sealKey, pairKey]) probe(fromBase64Url(key), site);
  if (sealKey === pairKey || seen.has(sealKey) || seen.has(pairKey)) {
    throw new ConsiliumError("secagg.bad-key", { culprits: [site] });
  }
}
