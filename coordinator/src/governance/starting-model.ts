/** The model that a plan starts from, on its way into the blob store, from which the sites fetch it. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { FederationId, Sha256 } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import type { Blobs } from "../blobs/blobs.ts";
import { hashing } from "../blobs/hashed.ts";
import type { Store } from "../store/store.ts";

/** A file that the operator gives. */
export interface StartingFile {
  readonly sha256: Sha256;
  readonly bytes: number;
  readonly read: () => AsyncIterable<Uint8Array>;
}

/**
 * Durable when the promise resolves, and before there is a federation that needs it: a crash leaves an object without a row, which
 * the next start removes.
 * @throws start.missing if it is neither here nor among the files; hash.mismatch if the file has changed since it was opened
 */
export async function keepStart(
  { federation, start }: Pick<Plan, "federation" | "start">,
  files: readonly StartingFile[],
  blobs: Blobs,
): Promise<void> {
  if (start === undefined || (await blobs.sizeOf(start.sha256)) === start.bytes) return;
  const file = files.find(({ sha256 }) => sha256 === start.sha256);
  if (file === undefined) throw new ConsiliumError("start.missing", { culprits: [federation] });
  await blobs.write(hashing(file.read(), start.sha256, ["startFrom"]));
}

/** Whether a federation, or any, starts from this object. */
export async function isStart(
  store: Pick<Store, "federations">,
  sha256: Sha256,
  owner: FederationId | null,
): Promise<boolean> {
  const rows = await store.federations();
  return rows.some(
    ({ federation, plan }) => (owner === null || federation === owner) && plan.body.start?.sha256 === sha256,
  );
}
