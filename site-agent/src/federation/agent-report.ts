/** What an agent says of itself, to a person at the site and to the coordinator. */
import type { ConsiliumError } from "@consilium/shared/errors";
import type { AgentPhase } from "./phase.ts";
import type { TaskProgress } from "./tasks.ts";

/** One line for a person or a program that watches. */
export interface AgentReport {
  readonly phase: AgentPhase;
  /** Null outside rounds. */
  readonly round: number | null;
  readonly attempt: number | null;
  readonly rounds: number;
  /** Steps when training, bytes when fetching or uploading. */
  readonly done: number;
  readonly total: number;
  readonly loss: number | null;
  readonly imagesPerSecond: number | null;
  /** Something that a person should read, for example why nothing moves. */
  readonly note: string | null;
}

/** The number of steps would tell the number of images. */
export const asPercent = (done: number, total: number): { done: number; total: number } => ({
  done: total > 0 ? Math.floor((100 * done) / total) : 0,
  total: 100,
});

export const NO_PROGRESS: TaskProgress = { done: 0, total: 0, loss: null, imagesPerSecond: null };

/** An error that passes, as the reason of a wait. */
export function waitingFor(error: ConsiliumError): string {
  switch (error.code) {
    case "coordinator.unreachable":
      return ["the coordinator does not answer", ...(error.detail === undefined ? [] : [error.detail])].join(
        " ",
      );
    case "disk.full":
      return "a disk is full";
    default:
      return error.message.replace(/\.$/, "").replace(/^./, (first) => first.toLowerCase());
  }
}
