/** What is stored and needed by nobody. */
import type { Sha256 } from "@consilium/shared/ids";
import type { Logger } from "pino";
import type { Blobs } from "../blobs/blobs.ts";
import { removeOrphans } from "../blobs/orphans.ts";
import { recoverFederation } from "../federation/recovery.ts";
import { sealedOf } from "../realtime/sealed.ts";
import type { Store } from "../store/store.ts";

/** Removes objects whose row a crash has prevented, and sealed updates that are spent. @returns how many */
export async function clearBlobs(store: Store, blobs: Blobs, logger: Logger): Promise<number> {
  const needed = new Set<Sha256>();
  for (const { object } of await store.uploads()) needed.add(sealedOf(object).sealedSha256);
  for (const row of await store.federations()) {
    if (row.plan.body.start !== undefined) needed.add(row.plan.body.start.sha256);
    const { ledger, state } = await recoverFederation({ store, blobs, gatherMs: 0 }, row);
    for (const sha256 of [...ledger.neededUpdates(), ...ledger.neededStates(state)]) needed.add(sha256);
  }
  const removed = await removeOrphans(
    blobs,
    async (sha256) => needed.has(sha256) || (await store.isCheckpoint(sha256, null)),
  );
  if (removed > 0) logger.info({ removed }, "objects without a row removed");
  return removed;
}
