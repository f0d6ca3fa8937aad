/** The few HTTP calls of a site: JSON in, JSON out, every reply checked against its schema. */
import { ConsiliumError } from "@consilium/shared/errors";
import { errorBodySchema } from "@consilium/shared/protocol/http";
import type { z } from "zod";
import { connectionFailure, strangeAnswer } from "./connection-failure.ts";
import { remoteError, unreachable } from "./remote-error.ts";

export type Fetch = typeof fetch;

const CALL_TIMEOUT_MS = 20_000;
const MAX_REPLY_BYTES = 4 * 1024 * 1024;

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Http {
  /** @throws coordinator.unreachable, coordinator.untrusted, proxy.refused, protocol.invalid-message, and whatever the coordinator reports */
  post<T extends z.ZodType>(
    path: string,
    body: object,
    reply: T,
    options?: CallOptions,
  ): Promise<z.output<T>>;
  /** @throws as post */
  read<T extends z.ZodType>(path: string, reply: T, options?: CallOptions): Promise<z.output<T>>;
  /** The response as it is, once its status is a success. */
  get(path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Response>;
}

/** @param baseUrl ends with a slash */
export function httpClient(baseUrl: string, fetch: Fetch): Http {
  const call = async <T extends z.ZodType>(
    path: string,
    schema: T,
    { headers = {}, signal }: CallOptions = {},
    init: { readonly method?: string; readonly headers?: object; readonly body?: string },
  ): Promise<z.output<T>> => {
    const timeout = AbortSignal.timeout(CALL_TIMEOUT_MS);
    const response = await send(fetch, new URL(path, baseUrl), {
      ...init,
      headers: { accept: "application/json", ...init.headers, ...headers },
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      redirect: "error",
    });
    const parsed = schema.safeParse(await readJson(response));
    if (!parsed.success) throw new ConsiliumError("protocol.invalid-message");
    return parsed.data;
  };
  return {
    post: (path, body, schema, options) =>
      call(path, schema, options, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      }),
    read: (path, schema, options) => call(path, schema, options, {}),
    get: (path, headers, signal) =>
      send(fetch, new URL(path, baseUrl), { headers, signal, redirect: "error" }),
  };
}

async function send(fetch: Fetch, url: URL, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (cause) {
    throw connectionFailure(cause, false);
  }
  if (response.ok) return response;
  const body = errorBodySchema.safeParse(await readJson(response).catch(() => null));
  if (body.success) throw remoteError(body.data);
  throw strangeAnswer(response.status, false);
}

async function readJson(response: Response): Promise<unknown> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of piecesOf(response)) {
    bytes += piece.length;
    // Counted as it comes, and unpacked: what is longer is never in memory.
    if (bytes > MAX_REPLY_BYTES) throw new ConsiliumError("protocol.invalid-message");
    pieces.push(piece);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString("utf8"));
  } catch {
    throw new ConsiliumError("protocol.invalid-message", { detail: "(the reply is not JSON)" });
  }
}

/** The body as it comes, if there is one; what was not read is given up. @throws coordinator.unreachable */
export async function* piecesOf({ body }: Response): AsyncGenerator<Uint8Array, void, undefined> {
  if (body === null) return;
  const reader = body.getReader();
  try {
    for (;;) {
      const next = await reader.read().catch((cause: unknown) => {
        throw unreachable("(the connection broke)", cause);
      });
      if (next.done) return;
      yield next.value as Uint8Array;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
