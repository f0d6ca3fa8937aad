import type { FederationStatus, SiteStatus } from "@consilium/shared/protocol/http";
import { isTrialRound } from "@consilium/shared/protocol/round";
import { formatBytes } from "@consilium/shared/units";
import { useComputedColorScheme } from "@mantine/core";
import { useState, type ReactNode } from "react";
import { ago, formatCount, formatLoss, showsSites, siteProgress } from "../derive.ts";
import { siteLine } from "../theme.ts";

interface SitesCardProps {
  readonly status: FederationStatus;
  readonly nowMs: number;
}

export function SitesCard({ status, nowMs }: SitesCardProps): ReactNode {
  const scheme = useComputedColorScheme("light");
  const ofEach = showsSites(status);
  return (
    <section className="card" aria-labelledby="sites-title">
      <div className="card-head">
        <h2 id="sites-title">Sites</h2>
        <span className="dimmed">Select a name for its fingerprint.</span>
      </div>
      {status.sites.length === 0 ? (
        <NobodyYet />
      ) : (
        <table className="sites" role="table">
          <thead role="rowgroup">
            <tr role="row">
              <th role="columnheader">Site</th>
              <th role="columnheader">This round</th>
              {ofEach && (
                <>
                  <th role="columnheader" className="number">
                    Loss
                  </th>
                  <th role="columnheader" className="number">
                    Images
                  </th>
                </>
              )}
              <th role="columnheader" className="number">
                Rounds
              </th>
              <th role="columnheader" className="number">
                Received
              </th>
            </tr>
          </thead>
          <tbody role="rowgroup">
            {status.sites.map((site, index) => (
              <SiteRow
                key={site.site}
                site={site}
                color={siteLine(index, scheme).color}
                nowMs={nowMs}
                finished={status.phase === "finished"}
                isTrial={isTrialRound(status.round, status)}
                ofEach={ofEach}
              />
            ))}
          </tbody>
        </table>
      )}
      <Candidates candidates={status.candidates} />
    </section>
  );
}

interface SiteRowProps {
  readonly site: SiteStatus;
  readonly color: string;
  readonly nowMs: number;
  readonly finished: boolean;
  /** The last model is tried, and nobody trains. */
  readonly isTrial: boolean;
  /** Its own loss, images and steps are known. */
  readonly ofEach: boolean;
}

/** Roles are given because phones show each row as a card, and `display` would take them away. */
function SiteRow({ site, color, nowMs, finished, isTrial, ofEach }: SiteRowProps): ReactNode {
  const [open, setOpen] = useState(false);
  return (
    <tr
      role="row"
      data-testid={`site-${site.site}`}
      className={site.connected || finished ? undefined : "away"}
    >
      <th role="rowheader" scope="row">
        <button
          type="button"
          className="site-name"
          aria-expanded={open}
          title={`Fingerprint ${site.fingerprint}`}
          onClick={() => {
            setOpen(!open);
          }}
        >
          <span className="site-color" style={{ background: color }} aria-hidden />
          {site.site}
        </button>
        <Link site={site} nowMs={nowMs} finished={finished} />
        {site.hold !== null && <span className="link link-down">{holdText(site.hold)}</span>}
        {open && <Fingerprint print={site} />}
      </th>
      <td role="cell" className="progress-cell">
        <StageBar site={site} finished={finished} isTrial={isTrial} inSteps={ofEach} />
      </td>
      {ofEach && <Number label="Loss">{formatLoss(site.loss)}</Number>}
      {ofEach && <Number label="Images">{site.examples === null ? "–" : formatCount(site.examples)}</Number>}
      <Number label="Rounds">{formatCount(site.contributions)}</Number>
      <Number label="Received">{formatBytes(site.receivedBytes)}</Number>
    </tr>
  );
}

/** Once the federation has finished a site may go: that is no failure. */
function Link({ site, nowMs, finished }: Pick<SiteRowProps, "site" | "nowMs" | "finished">): ReactNode {
  if (site.connected) return <span className="link link-up">connected</span>;
  return finished ? (
    <span className="link dimmed">done</span>
  ) : (
    <span className="link link-down">{lastSeen(site, nowMs)}</span>
  );
}

/** For the telephone: both sides read the words to each other. */
function Fingerprint({ print }: { readonly print: Pick<SiteStatus, "fingerprint" | "words"> }): ReactNode {
  return (
    <span className="fingerprint">
      Fingerprint <code>{print.words}</code> <code>{print.fingerprint}</code>
    </span>
  );
}

/** Sites that wait for the signatures of those on the roster. */
function Candidates({ candidates }: Pick<FederationStatus, "candidates">): ReactNode {
  return candidates.map((candidate) => (
    <p key={candidate.site} data-testid={`candidate-${candidate.site}`}>
      <strong>{candidate.site}</strong> waits to be on the roster: {candidate.endorsers.length} of{" "}
      {candidate.needed} sites have approved it. Each types{" "}
      <code>consilium-site roster approve {candidate.site}</code> once it has compared:
      <Fingerprint print={candidate} />
    </p>
  ));
}

function Number({ label, children }: { readonly label: string; readonly children: string }): ReactNode {
  return (
    <td role="cell" className="number" data-label={label}>
      {children}
    </td>
  );
}

const STAGES = ["fetch", "train", "send"] as const;
/** For work that is no part of a round. */
const WHOLE = ["train"] as const;

/** The way of one update through a round; training takes most of the bar as it takes most of the time. */
function StageBar({
  site,
  finished,
  isTrial,
  inSteps,
}: {
  readonly site: SiteStatus;
  readonly finished: boolean;
  readonly isTrial: boolean;
  readonly inSteps: boolean;
}): ReactNode {
  const { text, stage, fraction } = siteProgress(site, isTrial);
  const shown =
    finished && (stage === null || !site.connected) && site.phase !== "finetuning" ? "Done" : text;
  const percent = Math.round(fraction * 100);
  const working = stage !== null && stage < 3;
  return (
    <>
      <span className="stage-text">
        {shown}
        {working && <span className="dimmed">{amount(site, inSteps)}</span>}
      </span>
      {(stage !== null || fraction > 0) && (
        <span
          className="stages"
          role="progressbar"
          aria-label={`${site.site}: ${shown}`}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={stage === 3 ? 100 : percent}
        >
          {(stage === null ? WHOLE : STAGES).map((name, index) => {
            const filled = index > (stage ?? 0) ? 0 : index < (stage ?? 0) ? 1 : fraction;
            return (
              <span key={name} className={`stage stage-${name}`}>
                <span style={{ width: `${filled * 100}%` }} />
              </span>
            );
          })}
        </span>
      )}
    </>
  );
}

function amount({ phase, done, total }: SiteStatus, inSteps: boolean): string {
  if (total <= 0) return "";
  const percent = `${Math.round((100 * done) / total)} %`;
  if (phase !== "training") return `${percent} of ${formatBytes(total)}`;
  return inSteps ? `step ${formatCount(done)} of ${formatCount(total)}` : percent;
}

const HOLDS: Readonly<Record<NonNullable<SiteStatus["hold"]>["reason"], string>> = {
  "plan-approval": "waits for approval of the plan",
  hours: "outside its hours of work",
  bytes: "no more bytes today",
};

function holdText({ reason, until }: NonNullable<SiteStatus["hold"]>): string {
  return until === null ? HOLDS[reason] : `${HOLDS[reason]}, until ${new Date(until).toLocaleString()}`;
}

function lastSeen({ lastSeenAt }: SiteStatus, nowMs: number): string {
  return lastSeenAt === null ? "never connected" : `seen ${ago(Date.parse(lastSeenAt), nowMs)}`;
}

function NobodyYet(): ReactNode {
  return (
    <div className="empty-block">
      <p>No site has joined yet. Make a token for each, and hand it over in person:</p>
      <pre>
        {"consilium-coordinator invite --site hospital-a\n"}
        {"consilium-site join --coordinator URL --token TOKEN"}
      </pre>
    </div>
  );
}
