/** Where the coordinator keeps its rows and bytes, as its settings say; with several coordinators, also who runs what. */
import { verify, type Identity, type RandomBytes } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import type { Logger } from "pino";
import type { Blobs } from "./blobs/blobs.ts";
import { openBlobs, parseBlobsLocation, type BlobsLocation } from "./blobs/location.ts";
import { removeOrphans } from "./blobs/orphans.ts";
import type { Cleanup } from "./cleanup.ts";
import type { ServeConfig } from "./config.ts";
import { recoverFederation } from "./federation/recovery.ts";
import type { Home } from "./home.ts";
import { sealedOf } from "./realtime/sealed.ts";
import type { Leases } from "./replicas/leases.ts";
import { openLibsqlStore } from "./store/libsql-store.ts";
import type { Store } from "./store/store.ts";

export interface Storage {
  readonly store: Store;
  readonly blobs: Blobs;
  readonly blobsLocation: BlobsLocation;
  /** Null where the home folder's lock says that there is one coordinator. */
  readonly leases: Leases | null;
}

export interface StoragePorts {
  readonly random: RandomBytes;
  readonly logger: Logger;
  readonly cleanup: Cleanup;
}

/** @throws config.invalid, store.unreachable, disk.full */
export async function openStorage(
  { database, blobs: blobsText }: ServeConfig,
  { databaseFile, blobsFolder, spoolFolder }: Home,
  { random, logger, cleanup }: StoragePorts,
): Promise<Storage> {
  const blobsLocation = parseBlobsLocation(blobsText, { root: blobsFolder, spool: spoolFolder });
  if (database === null) {
    if (blobsLocation.kind !== "files") {
      const detail = "(--blobs needs --database: rows and bytes are kept together)";
      throw new ConsiliumError("config.invalid", { detail, culprits: ["blobs"] });
    }
    const store = openLibsqlStore(databaseFile);
    cleanup.add(() => store.close());
    return { store, blobs: await openBlobs(blobsLocation), blobsLocation, leases: null };
  }

  // What only several coordinators need takes a tenth of one's memory.
  const { openSharedStorage } = await import("./shared-storage.ts");
  return openSharedStorage(database, blobsLocation, { random, logger, cleanup });
}

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
