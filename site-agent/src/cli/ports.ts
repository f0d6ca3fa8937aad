/** What the commands need of the outside world; main.ts fills it in from the real process. */
import type { RandomBytes } from "@consilium/shared/crypto/identity";
import type { Environment } from "../config.ts";
import type { Fetch } from "../federation/http.ts";

export interface Terminal {
  readonly write: (text: string) => void;
  /** Whether a person looks at it, so that a line may be rewritten. */
  readonly isTTY: boolean;
  readonly columns: number;
}

export interface CliPorts {
  readonly env: Environment;
  /** The user's own folder, under which the default home lies. */
  readonly userHome: string;
  readonly nodeVersion: string;
  /** Cores that this process may use. */
  readonly cores: number;
  readonly memoryBytes: { readonly total: number; readonly free: number };
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly fetch: Fetch;
  readonly random: RandomBytes;
  readonly nowMs: () => number;
  /** Resolves early when the signal fires. */
  readonly sleep: (durationMs: number, signal: AbortSignal) => Promise<void>;
  /** Fires on Ctrl-C and on a polite kill. */
  readonly signal: AbortSignal;
}
