/**
 * The model that the plan starts from, before there is anything else to do: on this site's disk from an earlier run, or
 * fetched from the coordinator and held against the hash in the signed plan.
 */
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import type { StartPlan } from "@consilium/shared/start-schema";
import type { Holding } from "../governance/holding.ts";
import { waitingFor } from "./agent-report.ts";
import { backoffMs } from "./backoff.ts";
import type { Checkpoints } from "./checkpoints.ts";
import { fetchCheckpoint } from "./download.ts";
import { openSession, type Membership, type SessionPorts } from "./session.ts";

export interface StartingPorts extends SessionPorts {
  readonly checkpoints: Checkpoints;
  /** Resolves early when the signal fires. */
  readonly sleep: (durationMs: number, signal: AbortSignal) => Promise<void>;
}

export interface StartingOptions {
  readonly plan: Plan;
  readonly membership: Membership;
  /** Of the work that waits for it: nothing is fetched before the site may begin. */
  readonly holding: Holding;
  readonly onBytes: (done: number, total: number) => void;
  /** Is told why nothing moves. */
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** A file whose hash is wrong three times in a row is not an accident of the network. */
const MAX_HASH_FAILURES = 3;

/** As an earlier run left it; null where the plan names none. @throws start.missing */
export async function heldStart(
  { start }: Pick<Plan, "start">,
  checkpoints: Pick<Checkpoints, "read">,
): Promise<Uint8Array | null> {
  if (start === undefined) return null;
  const held = await checkpoints.read(start.sha256);
  if (held === null) throw new ConsiliumError("start.missing");
  return held;
}

/**
 * Tries for as long as it takes; what has arrived is kept, also over a crash.
 * @returns null where the plan names none
 * @throws start.missing if the coordinator has lost it; what cannot be mended by waiting; the signal's reason when it fires
 */
export async function startingModel(
  ports: StartingPorts,
  options: StartingOptions,
): Promise<Uint8Array | null> {
  const { plan, say, signal } = options;
  if (plan.start === undefined) return null;
  let mismatches = 0;
  for (let failures = 1; ; failures++) {
    try {
      return await fetched(ports, options, plan.start);
    } catch (error) {
      signal.throwIfAborted();
      const known = toConsiliumError(error);
      if (known.code === "blob.unknown") throw new ConsiliumError("start.missing", { cause: error });
      if (known.code === "hash.mismatch") mismatches += 1;
      if (!known.retry || mismatches >= MAX_HASH_FAILURES) throw known;
      const waitMs = backoffMs(failures, ports.random(1)[0] ?? 0);
      say(`${waitingFor(known)}; trying again in ${Math.ceil(waitMs / 1000)} s`);
      await ports.sleep(waitMs, signal);
    }
    signal.throwIfAborted();
  }
}

async function fetched(
  ports: StartingPorts,
  { membership, holding, onBytes, say, signal }: StartingOptions,
  { sha256: name, bytes: sizeBytes }: StartPlan,
): Promise<Uint8Array> {
  const { http, checkpoints } = ports;
  const held = await checkpoints.read(name);
  if (held !== null) return held;
  const session = await openSession(ports, membership, signal);
  await holding.whileHeld(session, say, signal);
  const onProgress = onBytes;
  return fetchCheckpoint({ http, session, checkpoints, name, sizeBytes, onProgress, signal });
}

/** The folder, in which that file stays: each start of the agent needs it, and so does pretrain. */
export function keepingStart(checkpoints: Checkpoints, { start }: Pick<Plan, "start">): Checkpoints {
  if (start === undefined) return checkpoints;
  return { ...checkpoints, keepOnly: (names) => checkpoints.keepOnly([...names, start.sha256]) };
}
