/** Round 1 at a site: keys for this attempt alone (Bonawitz et al. 2017, figure 4, round 0). */
import nacl from "tweetnacl";
import type { Attempt, Self } from "../attempt.ts";
import { toBase64Url } from "../../crypto/encoding.ts";
import { sign, type RandomBytes } from "../../crypto/identity.ts";
import type { SignedKeys } from "../messages.ts";
import type { Round } from "../round.ts";

export interface Advertised {
  readonly phase: "advertised";
  readonly attempt: Attempt;
  /** X25519, 32 bytes: opens the shares that others seal for this site. */
  readonly sealSecret: Uint8Array;
  /** X25519, 32 bytes: pairwise masks. Shared among the neighbours; rebuilt by the coordinator if this site drops out. */
  readonly pairSecret: Uint8Array;
  readonly keys: SignedKeys;
}

export function advertise(attempt: Attempt, self: Self, random: RandomBytes): Round<SignedKeys, Advertised> {
  const seal = nacl.box.keyPair.fromSecretKey(random(32));
  const pair = nacl.box.keyPair.fromSecretKey(random(32));
  const keys = sign(
    "secagg-keys",
    {
      context: attempt.context,
      site: self.site,
      sealKey: toBase64Url(seal.publicKey),
      pairKey: toBase64Url(pair.publicKey),
    },
    self.identity,
  );
  return {
    broadcast: keys,
    keep: { phase: "advertised", attempt, sealSecret: seal.secretKey, pairSecret: pair.secretKey, keys },
  };
}
