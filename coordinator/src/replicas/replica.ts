/** Runs the federations whose leases this coordinator has, from the store's rows on, as after a restart. */
import { toConsiliumError } from "@consilium/shared/errors";
import type { Logger } from "pino";
import type { Uploads } from "../realtime/uploads.ts";
import type { Running } from "../running.ts";
import type { Store } from "../store/store.ts";
import type { LeaseHolder, Leases } from "./leases.ts";

export function replicaOf(
  leases: Leases,
  parts: {
    readonly store: Store;
    readonly logger: Logger;
    readonly running: Running;
    readonly uploads: Uploads;
  },
): Pick<LeaseHolder, "gained" | "lost"> {
  const { store, logger, running, uploads } = parts;
  /** A lease may come back while what it left is still being closed. */
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = (action: () => Promise<void>): Promise<void> => {
    const result = last.then(action);
    last = result.catch(() => undefined);
    return result;
  };
  return {
    gained: (federation) =>
      inTurn(async () => {
        const epoch = leases.epochOf(federation);
        if (epoch === null) return;
        const row = (await store.federations()).find((other) => other.federation === federation);
        if (row === undefined) throw new Error("a lease of a federation that is not there");
        await running.start(row, () => leases.epochOf(federation) === epoch);
        await uploads.sweep().catch((error: unknown) => {
          logger.warn({ code: toConsiliumError(error).code }, "old uploads are still in the store");
        });
      }),
    lost: (federation) =>
      inTurn(async () => {
        uploads.forget(federation);
        await running.stop(federation);
      }),
  };
}
