import type { FederationStatus, RoundStatus } from "@consilium/shared/protocol/http";
import { isTrialRound } from "@consilium/shared/protocol/round";
import { formatDurationMs } from "@consilium/shared/units";
import { Button } from "@mantine/core";
import { useState, type ReactNode } from "react";
import { describeRollback, formatCount, formatLoss, roundDurationMs, shortHash } from "../derive.ts";

const SHOWN_AT_FIRST = 10;

/** Newest first. */
export function RoundsCard({ status }: { readonly status: FederationStatus }): ReactNode {
  const [all, setAll] = useState(false);
  const rounds = status.history.toReversed();
  const shown = all ? rounds : rounds.slice(0, SHOWN_AT_FIRST);
  return (
    <section className="card" aria-labelledby="rounds-title">
      <div className="card-head">
        <h2 id="rounds-title">Rounds</h2>
        <span className="dimmed">newest first</span>
      </div>
      {rounds.length === 0 ? (
        <p className="empty">
          None yet: the first one opens when {status.plan.minSites} sites are connected.
        </p>
      ) : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Rounds, scrollable">
          <table className="rounds">
            <thead>
              <tr>
                <th scope="col">Round</th>
                <th scope="col" className="number">
                  Loss
                </th>
                <th scope="col">Contributions</th>
                <th scope="col">Left out</th>
                <th scope="col">Model</th>
                <th scope="col" className="number">
                  Took
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.map((round) => (
                <RoundRow
                  key={`${round.round}.${round.attempt}`}
                  round={round}
                  isTrial={isTrialRound(round.round, status)}
                  sites={status.sites.length}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {rounds.length > SHOWN_AT_FIRST && (
        <Button
          variant="default"
          size="xs"
          mt="sm"
          onClick={() => {
            setAll(!all);
          }}
        >
          {all ? "Show the newest only" : `Show all ${rounds.length} rounds`}
        </Button>
      )}
    </section>
  );
}

interface RoundRowProps {
  readonly round: RoundStatus;
  /** After the last one: nobody trained. */
  readonly isTrial: boolean;
  /** On the roster. */
  readonly sites: number;
}

function RoundRow({ round, isTrial, sites }: RoundRowProps): ReactNode {
  const duration = roundDurationMs(round);
  const examples =
    round.totals?.examples ??
    round.contributions.reduce((sum, contribution) => sum + (contribution.examples ?? 0), 0);
  return (
    <tr data-testid={`round-${round.round}`}>
      <th scope="row">
        {isTrial ? "Trying the last model" : round.round}
        {round.attempt > 1 && <span className="dimmed"> attempt {round.attempt}</span>}
      </th>
      <td className={round.closedAt === null ? "number dimmed" : "number"}>{formatLoss(round.loss)}</td>
      <td>
        {round.contributions.length === 0 ? (
          <span className="dimmed">none yet</span>
        ) : (
          <>
            {round.contributions.length === sites && sites > 1
              ? `all ${sites}`
              : round.contributions.map(({ site }) => site).join(", ")}
            {examples > 0 && <span className="dimmed"> · {formatCount(examples)} images</span>}
          </>
        )}
      </td>
      <td>
        {round.excluded.map(({ site, reason }) => (
          <span key={site} className="excluded">
            <strong>{site}</strong> {reason}
          </span>
        ))}
        {round.verdict?.accepted === false && (
          <span className="excluded">
            <strong>taken back</strong> {describeRollback(round.verdict)}
          </span>
        )}
        {round.excluded.length === 0 && round.verdict?.accepted !== false && (
          <span className="dimmed">–</span>
        )}
      </td>
      <td>
        {round.checkpoint === null ? (
          <span className="dimmed">{round.closedAt === null ? "open" : "–"}</span>
        ) : (
          <code title={round.checkpoint}>{shortHash(round.checkpoint)}</code>
        )}
      </td>
      <td className="number">{duration === null ? "…" : formatDurationMs(duration)}</td>
    </tr>
  );
}
