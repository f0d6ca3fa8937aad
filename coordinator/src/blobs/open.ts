/** Opens the blobs of a location. */
import type { Blobs } from "./blobs.ts";
import { attachFileBlobs, openFileBlobs } from "./fs.ts";
import type { BlobsLocation } from "./location.ts";

/** For the coordinator: clears away what a crash left half-written. @throws config.invalid, store.unreachable */
export async function openBlobs(location: BlobsLocation): Promise<Blobs> {
  if (location.kind === "files") return openFileBlobs(location.root);
  const { openS3Blobs } = await import("./s3.ts");
  return openS3Blobs(location);
}

/** For a worker of the coordinator. */
export async function attachBlobs(location: BlobsLocation): Promise<Blobs> {
  if (location.kind === "files") return attachFileBlobs(location.root);
  const { attachS3Blobs } = await import("./s3.ts");
  return attachS3Blobs(location);
}
