/** HTTP as DICOMweb needs it: a private certificate authority, bodies that stream, and errors of ours. */
import { Agent as PlainAgent, request as plainRequest, type IncomingMessage } from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import { ConsiliumError } from "@consilium/shared/errors";
import { connectionError } from "../connection-error.ts";

export interface WebClientOptions {
  /** The service's root, such as https://pacs.example/dicom-web. */
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Certificate authority of the PACS, certificate and key of ours (PEM). */
  readonly tls: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
}

export interface WebClient {
  /**
   * @param path below the root
   * @returns the response with its body still to come (none with status 204), or null where there is no such thing
   * @throws pacs.unreachable, pacs.refused, pacs.untrusted, pacs.failed, pacs.invalid; the signal's reason
   */
  get(
    path: string,
    query: URLSearchParams,
    accept: string,
    signal: AbortSignal,
  ): Promise<IncomingMessage | null>;
  close(): void;
}

const IDLE_MS = 120_000;

export function webClient({ url, headers, tls }: WebClientOptions): WebClient {
  const isSecure = url.protocol === "https:";
  const agent = isSecure ? new TlsAgent({ keepAlive: true, ...tls }) : new PlainAgent({ keepAlive: true });
  const send = isSecure ? tlsRequest : plainRequest;
  return {
    async get(path, query, accept, signal) {
      const target = new URL(url);
      target.pathname = `${target.pathname.replace(/\/$/, "")}/${path}`;
      target.search = query.toString();
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const request = send(target, { agent, headers: { ...headers, accept }, signal, timeout: IDLE_MS });
        request.on("timeout", () => request.destroy(new Error("nothing came")));
        request.on("response", resolve);
        request.on("error", (cause) => {
          reject(signal.aborted ? (signal.reason as Error) : connectionError(cause));
        });
        request.end();
      });
      const status = response.statusCode ?? 0;
      if (status === 200 || status === 204 || status === 206) return response;
      response.resume();
      if (status === 404 || status === 410) return null;
      throw statusError(status);
    },
    close() {
      agent.destroy();
    },
  };
}

function statusError(status: number): ConsiliumError {
  const detail = `(HTTP status ${status})`;
  if (status === 401 || status === 403 || status === 407)
    return new ConsiliumError("pacs.refused", { detail });
  if (status === 408 || status === 429 || status >= 500) return new ConsiliumError("pacs.failed", { detail });
  return new ConsiliumError("pacs.invalid", { detail });
}
