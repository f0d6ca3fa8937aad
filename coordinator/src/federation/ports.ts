/** What a federation's service needs, and what it tells those who listen. */
import type { Identity } from "@consilium/shared/crypto/identity";
import type { SiteId } from "@consilium/shared/ids";
import type { Aggregator } from "../aggregation/tasks.ts";
import type { Clock } from "../clock.ts";
import type { JournalPorts } from "./journal.ts";
import type { RecoveryPorts } from "./recovery.ts";
import type { Fact } from "./types.ts";

export interface FederationPorts extends JournalPorts, RecoveryPorts {
  readonly aggregator: Aggregator;
  readonly clock: Clock;
  readonly identity: Identity;
}

export interface Change {
  /** What was committed with it, in order. */
  readonly facts: readonly Fact[];
  /** Whether the state changed, and not only what sites report of their progress. */
  readonly ofState: boolean;
  /** The site that the roster has lost. */
  readonly removed?: SiteId;
}
export type ChangeListener = (change: Change) => void;
