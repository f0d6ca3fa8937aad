/** The coordinator's status routes, read with the session cookie that its printed address sets. */
import { federationStatusSchema, type FederationStatus } from "@consilium/shared/protocol/http";
import { federationIdSchema, type FederationId } from "@consilium/shared/ids";
import { z } from "zod";

const ANSWER_WITHIN_MS = 8_000;

/** What can go wrong when asking, as the page tells it apart. */
export type Failure =
  /** No valid cookie. */
  | "locked"
  /** No answer, or one that is not the coordinator's. */
  | "unreachable"
  /** An answer of another version than this page. */
  | "incompatible";

export type Answer<T> =
  | {
      readonly ok: true;
      readonly value: T;
      /** How far the coordinator's clock is ahead of this one; to the second. */
      readonly clockAheadMs: number;
    }
  | { readonly ok: false; readonly failure: Failure };

/** Whole statuses; only the names matter here. */
const listSchema = z.array(z.object({ federation: federationIdSchema }));

export function listFederations(): Promise<Answer<readonly FederationId[]>> {
  return get(
    "api/federations",
    listSchema.transform((list) => list.map(({ federation }) => federation)),
  );
}

export function getFederation(federation: FederationId): Promise<Answer<FederationStatus>> {
  return get(`api/federations/${federation}`, federationStatusSchema);
}

/** Relative to the page, as a reverse proxy may serve it below a path. */
export function eventsUrl(federation: FederationId): string {
  return `api/federations/${federation}/events`;
}

/** One `data:` of the event stream; null if it is of another version. */
export function parseStatus(text: string): FederationStatus | null {
  try {
    return federationStatusSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

async function get<T>(url: string, schema: z.ZodType<T>): Promise<Answer<T>> {
  try {
    const response = await fetch(url, {
      headers: { accept: "application/json" },
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    if (response.status === 401 || response.status === 403) return { ok: false, failure: "locked" };
    if (!response.ok) return { ok: false, failure: "unreachable" };
    const parsed = schema.safeParse(await response.json());
    return parsed.success
      ? { ok: true, value: parsed.data, clockAheadMs: clockAheadMs(response.headers.get("date")) }
      : { ok: false, failure: "incompatible" };
  } catch {
    // No network, no answer in time, or not JSON.
    return { ok: false, failure: "unreachable" };
  }
}

/** The header has whole seconds; a second more or less is not worth showing a different time for. */
function clockAheadMs(dateHeader: string | null): number {
  const aheadMs = Date.parse(dateHeader ?? "") - Date.now();
  return Math.abs(aheadMs) > 2_000 ? aheadMs : 0;
}
