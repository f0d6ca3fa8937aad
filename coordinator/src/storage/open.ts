/** Opens the storage that the settings name. */
import { ConsiliumError } from "@consilium/shared/errors";
import { parseBlobsLocation } from "../blobs/location.ts";
import { openBlobs } from "../blobs/open.ts";
import type { ServeConfig } from "../config.ts";
import type { Home } from "../home.ts";
import { openLibsqlStore } from "../store/libsql-store.ts";
import type { Storage, StoragePorts } from "./storage.ts";

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
  const { openSharedStorage } = await import("./shared.ts");
  return openSharedStorage(database, blobsLocation, { random, logger, cleanup });
}
