/** A federation's status, kept current over server-sent events, reconnecting for as long as the page is open. */
import type { FederationId } from "@consilium/shared/ids";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import { useEffect, useState } from "react";
import { eventsUrl, getFederation, parseStatus, type Failure } from "./api.ts";

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 10_000;
/** A stream can die without a word (a laptop that slept, a proxy); after this long without news we ask. */
const QUIET_MS = 20_000;

export type Connection =
  | { readonly kind: "connecting" }
  | { readonly kind: "live" }
  | { readonly kind: "lost"; readonly sinceMs: number };

export interface LiveFederation {
  /** The last one known, also while the connection is lost. */
  readonly status: FederationStatus | null;
  readonly connection: Connection;
  readonly failure: Failure | null;
  readonly clockAheadMs: number;
}

const UNKNOWN: LiveFederation = {
  status: null,
  connection: { kind: "connecting" },
  failure: null,
  clockAheadMs: 0,
};

export function useFederation(federation: FederationId): LiveFederation {
  const [live, setLive] = useState(UNKNOWN);
  useEffect(() => follow(federation, setLive), [federation]);
  return live;
}

type Update = (change: (before: LiveFederation) => LiveFederation) => void;

/** Runs until the returned function is called. */
function follow(federation: FederationId, update: Update): () => void {
  let stopped = false;
  let stream: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let retryMs = FIRST_RETRY_MS;

  const later = (delayMs: number, action: () => void) => {
    clearTimeout(timer);
    timer = setTimeout(action, delayMs);
  };

  const lost = (failure: Failure) => {
    stream?.close();
    stream = null;
    update((before) => ({
      ...before,
      failure,
      connection:
        before.connection.kind === "lost" ? before.connection : { kind: "lost", sinceMs: Date.now() },
    }));
    later(retryMs, () => void connect());
    retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
  };

  /** @returns whether the coordinator answered. */
  const ask = async (): Promise<boolean> => {
    const answer = await getFederation(federation);
    if (stopped) return false;
    if (!answer.ok) {
      lost(answer.failure);
      return false;
    }
    update((before) => ({
      ...before,
      status: answer.value,
      clockAheadMs: answer.clockAheadMs,
      failure: null,
    }));
    return true;
  };

  const watch = () => {
    later(QUIET_MS, () => {
      void ask().then((answered) => {
        if (answered) watch();
      });
    });
  };

  const listen = () => {
    stream = new EventSource(eventsUrl(federation));
    stream.onopen = () => {
      retryMs = FIRST_RETRY_MS;
      update((before) => ({ ...before, connection: { kind: "live" } }));
      watch();
    };
    stream.onmessage = ({ data }: MessageEvent<string>) => {
      const status = parseStatus(data);
      if (status === null) {
        lost("incompatible");
        return;
      }
      update((before) => ({ ...before, status, failure: null, connection: { kind: "live" } }));
      watch();
    };
    // The browser would reconnect by itself, but not after an HTTP error, and it does not say which one it was.
    stream.onerror = () => {
      lost("unreachable");
    };
  };

  const connect = async () => {
    if (await ask()) listen();
  };

  update(() => UNKNOWN);
  void connect();
  return () => {
    stopped = true;
    clearTimeout(timer);
    stream?.close();
  };
}
