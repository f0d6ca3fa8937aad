/** Small things that leave, each on record before it does and when its outcome is known. */
import { sha256 } from "@consilium/shared/canonical";
import { toConsiliumError } from "@consilium/shared/errors";
import type { FederationId } from "@consilium/shared/ids";
import { failedState, type Receipt, type Receipts } from "./receipts.ts";

export interface RecordPorts {
  readonly receipts: Pick<Receipts, "add">;
  readonly nowMs: () => number;
}

export interface About extends Pick<Receipt, "kind"> {
  /** Absent outside rounds. */
  readonly round?: number;
  readonly attempt?: number;
}

/**
 * @param content the JSON text as it travels
 * @param outcome of what `send` resolves with, if it can be another than accepted
 * @throws what `send` throws
 */
export type Recorder = <T>(
  about: About,
  content: string,
  send: () => Promise<T>,
  outcome?: (answer: T) => Receipt["state"],
) => Promise<T>;

export function recorder({ receipts, nowMs }: RecordPorts, federation: FederationId): Recorder {
  return async ({ kind, round = 0, attempt = 0 }, content, send, outcome = () => "accepted") => {
    const about = {
      kind,
      federation,
      round,
      attempt,
      bytes: Buffer.byteLength(content),
      sha256: sha256(content),
    };
    const record = (state: Receipt["state"]): Promise<void> =>
      receipts.add({ ...about, at: new Date(nowMs()).toISOString(), state });
    await record("sending");
    const answer = await send().catch(async (error: unknown) => {
      await record(failedState(toConsiliumError(error)));
      throw error;
    });
    await record(outcome(answer));
    return answer;
  };
}
