import type { FederationId } from "@consilium/shared/ids";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import { Loader } from "@mantine/core";
import { useEffect, type ReactNode } from "react";
import { ago, phaseTitle } from "../derive.ts";
import { useFederation, type LiveFederation } from "../use-federation.ts";
import { useNow } from "../use-now.ts";
import { FailureNotice } from "./failure-notice.tsx";
import { Header } from "./header.tsx";
import { HealthCard } from "./health-card.tsx";
import { ImagesCard } from "./images-card.tsx";
import { LossCard } from "./loss-card.tsx";
import { Overview } from "./overview.tsx";
import { PlanCard } from "./plan-card.tsx";
import { RoundsCard } from "./rounds-card.tsx";
import { SitesCard } from "./sites-card.tsx";

interface FederationPageProps {
  readonly federation: FederationId;
  readonly others: readonly FederationId[];
  readonly onChoose: (federation: FederationId) => void;
}

export function FederationPage({ federation, others, onChoose }: FederationPageProps): ReactNode {
  const live = useFederation(federation);
  const now = useNow(live.clockAheadMs);
  const { status, connection, failure } = live;
  useEffect(() => {
    document.title = status === null ? "Consilium" : `${phaseTitle(status)} · Consilium`;
  }, [status]);
  return (
    <>
      <Header connection={connection} federation={federation} others={others} onChoose={onChoose} />
      <main className="page">
        <LostBanner live={live} />
        {status !== null && <StatusView status={status} nowMs={now} />}
        {status === null && failure !== null && <FailureNotice failure={failure} />}
        {status === null && failure === null && (
          <Loader className="loading" aria-label="Asking the coordinator" />
        )}
      </main>
    </>
  );
}

function StatusView({
  status,
  nowMs,
}: {
  readonly status: FederationStatus;
  readonly nowMs: number;
}): ReactNode {
  return (
    <>
      <Overview status={status} nowMs={nowMs} />
      <div className="columns">
        <div className="column">
          <LossCard status={status} />
          <SitesCard status={status} nowMs={nowMs} />
        </div>
        <PlanCard status={status} />
      </div>
      <HealthCard status={status} />
      <ImagesCard status={status} />
      <RoundsCard status={status} />
    </>
  );
}

const LOST_TEXT = {
  locked:
    "The coordinator no longer accepts this browser. Open the page again with the address that it printed.",
  unreachable:
    "The connection to the coordinator is lost; trying again. The numbers below are the last ones known.",
  incompatible: "The coordinator now speaks another version. Reload this page.",
} as const;

function LostBanner({ live: { connection, failure, status } }: { readonly live: LiveFederation }): ReactNode {
  const now = useNow(0);
  if (connection.kind !== "lost" || status === null) return null;
  return (
    <div className="banner" role="alert" data-testid="lost">
      <strong>{LOST_TEXT[failure ?? "unreachable"]}</strong>
      {/* Kept out of the alert, which would otherwise be read out every second. */}
      <span aria-hidden>Lost {ago(connection.sinceMs, now)}.</span>
    </div>
  );
}
