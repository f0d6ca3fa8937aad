/** What is counted as it happens; what is read when Prometheus asks is in routes/metrics.ts. No label names a site. */
import type { ErrorCode } from "@consilium/shared/errors";
import type { UploadBegin, UploadOutcome } from "@consilium/shared/protocol/events";
import { Counter, Histogram, type Registry } from "prom-client";

export interface Counted {
  /** A message or request that was answered with an error. */
  refused(over: "http" | "socket", code: ErrorCode): void;
  /** An upload that went on where a cut link or a restart had left it. */
  resumed(): void;
  /** The end of an upload that was looked through, added up and made durable, or was not. */
  committed(
    kind: UploadBegin["object"]["kind"],
    outcome: UploadOutcome | "refused",
    durationMs: number,
  ): void;
}

export function countIn(registry: Registry): Counted {
  const registers = [registry];
  const refusals = new Counter({
    name: "consilium_refusals_total",
    help: "Messages and requests answered with an error, by its code.",
    labelNames: ["over", "code"],
    registers,
  });
  const resumptions = new Counter({
    name: "consilium_upload_resumptions_total",
    help: "Uploads that went on where a cut link or a restart had left them.",
    registers,
  });
  const commits = new Histogram({
    name: "consilium_upload_commit_seconds",
    help: "Time to look an upload through, make it durable and count it.",
    labelNames: ["kind", "outcome"],
    buckets: [0.01, 0.05, 0.2, 1, 5, 20, 60],
    registers,
  });
  return {
    refused: (over, code) => {
      refusals.inc({ over, code });
    },
    resumed: () => {
      resumptions.inc();
    },
    committed: (kind, outcome, durationMs) => {
      commits.observe({ kind, outcome }, durationMs / 1000);
    },
  };
}
