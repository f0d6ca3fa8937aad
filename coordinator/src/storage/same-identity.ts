/** Whose storage it is. */
import { verify, type Identity } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Store } from "../store/store.ts";

/** Several coordinators are one to their sites. @throws config.invalid if this home has another identity than the others */
export async function assertSameIdentity(store: Store, { public: own }: Identity): Promise<void> {
  for (const { plan } of await store.federations()) {
    try {
      verify("plan", plan, own);
    } catch (cause) {
      const detail =
        "(this home's identity is not the one that the database belongs to; copy identity.json and operator.token from the first coordinator's home)";
      throw new ConsiliumError("config.invalid", { detail, culprits: ["home"], cause });
    }
  }
}
