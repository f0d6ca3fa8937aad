/** Which federation to show, or why there is none to show. */
import type { FederationId } from "@consilium/shared/ids";
import { Loader } from "@mantine/core";
import { useEffect, useState, type ReactNode } from "react";
import { listFederations, type Failure } from "./api.ts";
import { FailureNotice } from "./components/failure-notice.tsx";
import { FederationPage } from "./components/federation-page.tsx";
import { Header } from "./components/header.tsx";
import { Notice } from "./components/notice.tsx";

const ASK_AGAIN_MS = 3_000;

type Listing =
  | { readonly kind: "loading" }
  | { readonly kind: "failed"; readonly failure: Failure }
  | { readonly kind: "listed"; readonly federations: readonly FederationId[] };

export function App(): ReactNode {
  const listing = useListing();
  const [chosen, setChosen] = useState<FederationId | null>(null);
  if (listing.kind === "listed") {
    const federation = chosen ?? listing.federations[0];
    if (federation !== undefined) {
      return (
        <FederationPage
          key={federation}
          federation={federation}
          others={listing.federations}
          onChoose={setChosen}
        />
      );
    }
  }
  return (
    <>
      <Header />
      <main className="page">
        {listing.kind === "loading" && <Loader className="loading" aria-label="Asking the coordinator" />}
        {listing.kind === "failed" && <FailureNotice failure={listing.failure} />}
        {listing.kind === "listed" && (
          <Notice title="No federation yet">
            <p>This coordinator runs, but holds no federation. Write a plan and start it with that:</p>
            <pre>
              {'consilium-coordinator plan --federation chest-xray --title "Chest X-ray" --rounds 25\n'}
              {"consilium-coordinator serve --plan plan.json"}
            </pre>
          </Notice>
        )}
      </main>
    </>
  );
}

/** Asks until there is a federation; the list of a coordinator does not change while it runs. */
function useListing(): Listing {
  const [listing, setListing] = useState<Listing>({ kind: "loading" });
  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      const answer = await listFederations();
      if (stopped) return;
      setListing(
        answer.ok
          ? { kind: "listed", federations: answer.value }
          : { kind: "failed", failure: answer.failure },
      );
      if (!answer.ok || answer.value.length === 0) timer = setTimeout(() => void ask(), ASK_AGAIN_MS);
    };
    void ask();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, []);
  return listing;
}
