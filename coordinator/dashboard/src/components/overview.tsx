import type { FederationStatus } from "@consilium/shared/protocol/http";
import { formatDurationMs } from "@consilium/shared/units";
import type { ReactNode } from "react";
import {
  completedRounds,
  currentRound,
  elapsedMs,
  formatCount,
  formatLoss,
  formatPercentChange,
  lossChange,
  phaseTitle,
  roughly,
  roundCells,
  shortHash,
  timeLeftMs,
} from "../derive.ts";

/** More cells than this would be thinner than a pixel on a phone. */
const MOST_CELLS = 60;

interface OverviewProps {
  readonly status: FederationStatus;
  readonly nowMs: number;
}

export function Overview({ status, nowMs }: OverviewProps): ReactNode {
  return (
    <section className="card overview" aria-label="Federation">
      <div className="overview-title">
        <p className="eyebrow">{status.plan.title}</p>
        <h1 data-testid="phase">{phaseTitle(status)}</h1>
        <p className={status.phase === "paused" ? "summary alarm" : "summary"} role="status">
          {status.summary}
        </p>
      </div>
      <Figures status={status} nowMs={nowMs} />
      <RoundStrip status={status} />
    </section>
  );
}

function Figures({ status, nowMs }: OverviewProps): ReactNode {
  const left = timeLeftMs(status, nowMs);
  const elapsed = elapsedMs(status, nowMs);
  const change = lossChange(status);
  const connected = status.sites.filter((site) => site.connected).length;
  const contributed = currentRound(status)?.contributions.length;
  const deadline = status.deadlineAt === null ? null : Date.parse(status.deadlineAt) - nowMs;
  return (
    <dl className="figures">
      {status.phase === "finished" ? (
        <Figure
          label="Took"
          value={elapsed === null ? "–" : formatDurationMs(elapsed)}
          note="first to last round"
        />
      ) : (
        <Figure
          label="Time left"
          value={left === null ? "–" : roughly(left)}
          note={
            left === null
              ? "known after a round"
              : `${formatDurationMs(Math.floor((elapsed ?? 0) / 1000) * 1000)} so far`
          }
        />
      )}
      <Figure
        label="Loss"
        value={formatLoss(change?.last ?? null)}
        note={change === null ? "none yet" : `${formatPercentChange(change.change)} since round 1`}
      />
      {status.phase === "finished" ? (
        <Figure label="Sites" value={`${status.sites.length}`} note="done" />
      ) : (
        <Figure
          label="Sites"
          value={`${connected} of ${status.sites.length}`}
          note={connected === status.sites.length ? "all connected" : "connected"}
        />
      )}
      {contributed === undefined ? (
        <Figure
          label="Global model"
          value={status.checkpoint === null ? "–" : shortHash(status.checkpoint)}
          note={status.parameters === null ? "none yet" : `${formatCount(status.parameters)} weights`}
          mono
        />
      ) : (
        <Figure
          label="This round"
          value={`${contributed} of ${status.sites.length} in`}
          note={
            deadline === null
              ? `attempt ${status.attempt}`
              : deadline > 0
                ? `deadline in ${roughly(deadline)}`
                : "deadline has passed"
          }
        />
      )}
    </dl>
  );
}

interface FigureProps {
  readonly label: string;
  readonly value: string;
  readonly note: string;
  readonly mono?: boolean;
}

function Figure({ label, value, note, mono = false }: FigureProps): ReactNode {
  return (
    <div>
      <dt>{label}</dt>
      <dd className={mono ? "mono" : undefined}>{value}</dd>
      <dd className="note">{note}</dd>
    </div>
  );
}

function RoundStrip({ status }: { readonly status: FederationStatus }): ReactNode {
  const completed = completedRounds(status).length;
  return (
    <div
      className="strip"
      role="progressbar"
      aria-label="Rounds"
      aria-valuemin={0}
      aria-valuemax={status.rounds}
      aria-valuenow={completed}
      aria-valuetext={`${completed} of ${status.rounds} rounds done`}
    >
      {status.rounds <= MOST_CELLS ? (
        roundCells(status).map(({ round, state, text }) => (
          <span key={round} className={`cell cell-${state}`} title={text} />
        ))
      ) : (
        <span className="strip-track">
          <span className="strip-fill" style={{ width: `${(completed / status.rounds) * 100}%` }} />
        </span>
      )}
    </div>
  );
}
