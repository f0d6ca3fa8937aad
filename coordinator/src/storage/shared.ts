/** Rows in PostgreSQL and, with several coordinators on it, leases that say who runs what. */
import { ConsiliumError } from "@consilium/shared/errors";
import pg from "pg";
import type { BlobsLocation } from "../blobs/location.ts";
import { openBlobs } from "../blobs/open.ts";
import { Leases } from "../replicas/leases.ts";
import { connectionSettings } from "../store/postgres-connection.ts";
import { migratePostgres, openPostgresStore } from "../store/postgres-store.ts";
import type { Storage, StoragePorts } from "./storage.ts";
import { clearBlobs } from "./unneeded.ts";

/** @throws config.invalid, store.unreachable, disk.full */
export async function openSharedStorage(
  database: string,
  blobsLocation: BlobsLocation,
  { random, logger, cleanup }: StoragePorts,
): Promise<Storage> {
  const replica = Buffer.from(random(8)).toString("hex");
  const leases = new Leases({ databaseUrl: database, replica, logger });
  cleanup.add(() => leases.close());
  const pool = new pg.Pool(connectionSettings(database, replica));
  pool.on("error", () => {
    logger.warn("a connection to the database ended");
  });
  const store = openPostgresStore(pool, leases);
  cleanup.add(() => store.close());
  const sharesBlobs = blobsLocation.kind !== "files";
  const blobs = await leases.startUp(sharesBlobs, async (client, isAlone) => {
    if (!isAlone && !sharesBlobs) {
      const detail = "(another coordinator runs on this database; several of them need --blobs s3://...)";
      throw new ConsiliumError("config.invalid", { detail, culprits: ["blobs"] });
    }
    await migratePostgres(client);
    const opened = await openBlobs(blobsLocation);
    // What another coordinator has stored and not yet recorded would look like what nobody needs.
    if (isAlone) await clearBlobs(store, opened, logger);
    return opened;
  });
  return { store, blobs, blobsLocation, leases };
}
