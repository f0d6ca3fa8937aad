/**
 * Whether this site begins anything now. It is asked before each connection, each round and each training, and reads the
 * policy and the approvals anew each time, so that what a person types takes effect at once.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import { planHash, type Plan } from "@consilium/shared/plan";
import type { HoldReason } from "@consilium/shared/protocol/hold";
import { formatBytes } from "@consilium/shared/units";
import type { Receipt, ReceiptEntry, Receipts } from "../federation/receipts.ts";
import { assertAllowed, assertCohort, assertModel, type Policy } from "../policy.ts";
import { describeHours, opensAtMs } from "./hours.ts";

const DAY_MS = 24 * 3600_000;

/** Why a site waits. */
export interface Hold {
  readonly reason: HoldReason;
  /** What a person at the site reads; it names the command that ends it, if one does. */
  readonly text: string;
  /** When it ends by itself. */
  readonly untilMs: number | null;
}

export interface GatePorts {
  readonly policy: () => Promise<Policy>;
  readonly receipts: Pick<Receipts, "entries">;
  readonly nowMs: () => number;
}

export class Gate {
  readonly #ports: GatePorts;
  readonly #plan: Plan;
  readonly #hash: Sha256;

  constructor(ports: GatePorts, plan: Plan) {
    this.#ports = ports;
    this.#plan = plan;
    this.#hash = planHash(plan);
  }

  /**
   * Null if the site may go on.
   * @param parameters of the model
   * @param sent of an update, from which its size follows: all, unless the plan freezes some
   * @throws policy.*, plan.refused: what waiting does not mend
   */
  async hold(parameters: number, sent = parameters): Promise<Hold | null> {
    const policy = await this.#ports.policy();
    assertAllowed(this.#plan, policy);
    assertModel(parameters, policy);
    const entries = await this.#ports.receipts.entries();
    return this.#approval(policy, entries) ?? this.#hours(policy) ?? this.#bytes(policy, entries, sent);
  }

  /** For work that is under way: only the hours stop it. */
  async pause(): Promise<Hold | null> {
    return this.#hours(await this.#ports.policy());
  }

  /** @throws policy.cohort-too-small */
  async assertCohort(sites: number): Promise<void> {
    assertCohort(sites, await this.#ports.policy());
  }

  #approval(policy: Policy, entries: readonly ReceiptEntry[]): Hold | null {
    const decision = decisionOn(this.#hash, entries);
    if (decision === "refused") throw new ConsiliumError("plan.refused");
    if (decision === "approved" || isListed(this.#hash, policy)) return null;
    const text = `this plan waits for approval at this site; read it: consilium-site plan; then type: consilium-site plan approve ${shortHash(this.#hash)}`;
    return { reason: "plan-approval", text, untilMs: null };
  }

  #hours({ hours }: Policy): Hold | null {
    if (hours === null) return null;
    const nowMs = this.#ports.nowMs();
    const untilMs = opensAtMs(hours, nowMs);
    if (untilMs === nowMs) return null;
    const when = untilMs === null ? "" : ` until ${localTime(untilMs, hours.timeZone)}`;
    return { reason: "hours", text: `outside the hours of work${when}: ${describeHours(hours)}`, untilMs };
  }

  #bytes({ maxBytesPerDay }: Policy, entries: readonly ReceiptEntry[], sent: number): Hold | null {
    if (maxBytesPerDay === null) return null;
    const needed =
      (sent * (this.#plan.aggregation.secure === "masked" ? this.#plan.aggregation.linkBits : 32)) / 8;
    const sinceMs = this.#ports.nowMs() - DAY_MS;
    const recent = entries.filter(hasLeft).filter(({ at }) => Date.parse(at) > sinceMs);
    let used = recent.reduce((sum, { bytes }) => sum + bytes, 0);
    if (used + needed <= maxBytesPerDay) return null;
    const limit = `${formatBytes(maxBytesPerDay)} may leave in 24 hours`;
    for (const { at, bytes } of recent) {
      used -= bytes;
      if (used + needed > maxBytesPerDay) continue;
      const untilMs = Date.parse(at) + DAY_MS;
      return {
        reason: "bytes",
        text: `${limit}; the next update may at ${new Date(untilMs).toISOString()}`,
        untilMs,
      };
    }
    const text = `${limit}, and one update has ${formatBytes(needed)}; see consilium-site policy --max-bytes-per-day`;
    return { reason: "bytes", text, untilMs: null };
  }
}

/** What a person decided last about this plan. */
export function decisionOn(hash: Sha256, entries: readonly ReceiptEntry[]): "approved" | "refused" | null {
  const last = entries.findLast((entry) => entry.kind === "plan" && entry.sha256 === hash);
  return last?.kind === "plan" ? last.decision : null;
}

export const isListed = (hash: Sha256, { planApproval, allowedPlans }: Policy): boolean =>
  planApproval === "automatic" || allowedPlans.includes(hash);

/** Long enough to be this plan and no other, short enough to type. */
export const shortHash = (hash: Sha256): string => hash.slice(0, 12);

function hasLeft(entry: ReceiptEntry): entry is Receipt {
  return "state" in entry && entry.state !== "sending" && entry.state !== "refused";
}

function localTime(atMs: number, timeZone: string): string {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone, dateStyle: "medium", timeStyle: "short" });
  return format.format(atMs);
}
