/** Everything that leaves in a round goes through here, and onto the record: before it leaves, and when its outcome is known. */
import type { Signed } from "@consilium/shared/crypto/signed";
import { toConsiliumError } from "@consilium/shared/errors";
import type { UploadBegin, UploadOutcome } from "@consilium/shared/protocol/events";
import type { MaskingMessage } from "@consilium/shared/protocol/masking";
import type { ContributionHeader, RoundOpening } from "@consilium/shared/protocol/round";
import type { ByteSource } from "../home/files.ts";
import { recorder, type Recorder } from "./recorded.ts";
import { failedState, type Receipt, type Receipts } from "./receipts.ts";
import type { Membership } from "./session.ts";
import type { Link } from "./transport.ts";
import { chunkBytesFor, uploadObject } from "./upload.ts";

export interface SendingPorts {
  readonly receipts: Receipts;
  readonly nowMs: () => number;
}

export class Sending {
  readonly #ports: SendingPorts;
  readonly #membership: Membership;
  readonly #tally: { sentBytes: number };
  readonly #record: Recorder;
  #bytesPerSecond: number | null = null;

  /** @param tally is added to */
  constructor(ports: SendingPorts, membership: Membership, tally: { sentBytes: number }) {
    this.#ports = ports;
    this.#membership = membership;
    this.#tally = tally;
    this.#record = recorder(ports, membership.federation);
  }

  /** Puts every object that leaves on record: before its first byte, and when its outcome is known. */
  async object(
    about: Pick<Receipt, "kind" | "round" | "attempt" | "bytes" | "sha256">,
    object: UploadBegin["object"],
    source: ByteSource,
    link: Link,
    onBytes: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<UploadOutcome> {
    const { receipts, nowMs } = this.#ports;
    const { federation } = this.#membership;
    const record = (state: Receipt["state"], bytes: number): Promise<void> =>
      receipts.add({ ...about, at: new Date(nowMs()).toISOString(), federation, state, bytes });
    await record("sending", about.bytes);
    const startedMs = nowMs();
    const chunkBytes = chunkBytesFor(this.#bytesPerSecond);
    const seen: { first: number | null; last: number } = { first: null, last: 0 };
    const onProgress = (done: number, total: number): void => {
      seen.first ??= done;
      seen.last = done;
      onBytes(done, total);
    };
    const sentBytes = (): number => seen.last - (seen.first ?? 0);
    try {
      const { outcome } = await uploadObject({
        link,
        object,
        source,
        onProgress,
        signal,
        chunkBytes,
      });
      await record(outcome, about.bytes);
      return outcome;
    } catch (error) {
      const known = toConsiliumError(error);
      await record(signal.aborted ? "interrupted" : failedState(known), sentBytes());
      throw known;
    } finally {
      const seconds = (nowMs() - startedMs) / 1000;
      // When nothing at all came through, not even one chunk did: the next ones are smaller.
      const passedBytes = sentBytes() > 0 ? sentBytes() : seen.first === about.bytes ? 0 : chunkBytes / 4;
      if (passedBytes > 0 && seconds > 1) this.#bytesPerSecond = passedBytes / seconds;
      this.#tally.sentBytes += sentBytes();
    }
  }

  /** The header of a contribution, which the coordinator can read, when the upload is begun. */
  async header(header: Signed<ContributionHeader>): Promise<void> {
    const { round, attempt } = header.body;
    // It travels with the upload, whose own receipt says what became of it.
    await this.#record({ kind: "metrics", round, attempt }, JSON.stringify(header), () => Promise.resolve());
  }

  /** One small message of a masked round, on record before it leaves and when its outcome is known. */
  async message(
    { round, attempt }: RoundOpening,
    kind: Receipt["kind"],
    message: MaskingMessage,
    link: Link,
  ): Promise<void> {
    const text = JSON.stringify(message);
    await this.#record(
      { kind, round, attempt },
      text,
      () => link.answerMasking({ round, attempt, message }),
      (outcome) => outcome,
    );
    this.#tally.sentBytes += Buffer.byteLength(text);
  }
}
