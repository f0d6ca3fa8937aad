/**
 * What the coordinator is told of a round's progress, on record: a line before the first message of an attempt, and one
 * with the size and hash of them all when the next attempt begins or the agent ends. Each by itself would be two a second.
 */
import { createHash } from "node:crypto";
import type { FederationId, Sha256 } from "@consilium/shared/ids";
import { sha256 } from "@consilium/shared/canonical";
import type { Progress } from "@consilium/shared/protocol/events";
import type { Receipt } from "./receipts.ts";
import type { RecordPorts } from "./recorded.ts";

type Attempt = Pick<Progress, "round" | "attempt">;

export class ProgressRecord {
  readonly #ports: RecordPorts;
  readonly #federation: FederationId;
  #of: Attempt | null = null;
  #bytes = 0;
  #hash = createHash("sha256");
  #queue: Promise<void> = Promise.resolve();

  constructor(ports: RecordPorts, federation: FederationId) {
    this.#ports = ports;
    this.#federation = federation;
  }

  /**
   * Sends in the order of the calls. Advisory: a record that cannot be written stops the message and nothing else.
   * @param emit says whether it was sent
   */
  send(message: Progress, emit: () => boolean): void {
    this.#queue = this.#queue
      .then(async () => {
        await this.#begin(message);
        if (!emit()) return;
        const text = `${JSON.stringify(message)}\n`;
        this.#bytes += Buffer.byteLength(text);
        this.#hash.update(text);
      })
      .catch(() => undefined);
  }

  /** Closes the record of the attempt that is under way. */
  async close(): Promise<void> {
    this.#queue = this.#queue.then(() => this.#end()).catch(() => undefined);
    await this.#queue;
  }

  async #begin({ round, attempt }: Attempt): Promise<void> {
    if (this.#of?.round === round && this.#of.attempt === attempt) return;
    await this.#end();
    await this.#add({ round, attempt }, "sending", 0, sha256(""));
    this.#of = { round, attempt };
  }

  async #end(): Promise<void> {
    const of = this.#of;
    if (of === null) return;
    this.#of = null;
    const digest = this.#hash.digest("hex") as Sha256;
    const bytes = this.#bytes;
    this.#hash = createHash("sha256");
    this.#bytes = 0;
    await this.#add(of, "accepted", bytes, digest);
  }

  #add({ round, attempt }: Attempt, state: Receipt["state"], bytes: number, digest: Sha256): Promise<void> {
    const { receipts, nowMs } = this.#ports;
    const at = new Date(nowMs()).toISOString();
    const federation = this.#federation;
    return receipts.add({ at, federation, kind: "progress", state, round, attempt, bytes, sha256: digest });
  }
}
