/** Where the coordinator keeps its rows and bytes; with several coordinators, also who runs what. */
import type { RandomBytes } from "@consilium/shared/crypto/identity";
import type { Logger } from "pino";
import type { Blobs } from "../blobs/blobs.ts";
import type { BlobsLocation } from "../blobs/location.ts";
import type { Cleanup } from "../cleanup.ts";
import type { Leases } from "../replicas/leases.ts";
import type { Store } from "../store/store.ts";

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
