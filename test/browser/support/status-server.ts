/** The coordinator's status routes with nothing behind them, for looking at the page in every state. */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import path from "node:path";
import type { FederationStatus } from "@consilium/shared/protocol/http";

/** As strict as the coordinator's own: scripts only from files, styles may be inline. */
const SECURITY_POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";
const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};
const TOKEN = "let-me-in";
const COOKIE = `consilium_operator=${TOKEN}`;

export interface StatusServer {
  /** With the token that sets the cookie, as the coordinator prints it. */
  readonly url: string;
  readonly lockedUrl: string;
  push(status: FederationStatus): void;
  /** Ends every event stream and answers 503 until `comeBack`. */
  goAway(): void;
  comeBack(): void;
  /** From now on no cookie is good. */
  lock(): void;
  close(): Promise<void>;
}

/** Serves the built page in `dist`; an empty list without `status`. */
export async function startStatusServer(dist: string, first: FederationStatus | null): Promise<StatusServer> {
  let status = first;
  let away = false;
  let locked = false;
  const streams = new Set<ServerResponse>();

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    response.setHeader("content-security-policy", SECURITY_POLICY);
    if (url.searchParams.get("token") === TOKEN) {
      response.writeHead(302, {
        location: "/",
        "set-cookie": `${COOKIE}; HttpOnly; SameSite=Strict; Path=/`,
      });
      response.end();
    } else if (!url.pathname.startsWith("/api/")) {
      await sendFile(
        response,
        path.join(dist, url.pathname === "/" ? "index.html" : path.normalize(url.pathname)),
      );
    } else if (away) {
      sendJson(response, 503, { code: "coordinator.unreachable" });
    } else if (locked || !(request.headers.cookie ?? "").includes(COOKIE)) {
      sendJson(response, 401, { code: "auth.required" });
    } else if (url.pathname === "/api/federations") {
      sendJson(response, 200, status === null ? [] : [status]);
    } else if (status !== null && url.pathname === `/api/federations/${status.federation}`) {
      sendJson(response, 200, status);
    } else if (status !== null && url.pathname === `/api/federations/${status.federation}/events`) {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      response.write(`data: ${JSON.stringify(status)}\n\n`);
      streams.add(response);
      response.on("close", () => streams.delete(response));
    } else {
      sendJson(response, 404, { code: "federation.unknown" });
    }
  };

  const server = createServer((request, response) => {
    answer(request, response).catch(() => {
      sendJson(response, 404, { code: "blob.unknown" });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const lockedUrl = `http://127.0.0.1:${address.port}/`;
  const dropStreams = () => {
    for (const stream of streams) stream.destroy();
  };
  return {
    url: `${lockedUrl}?token=${TOKEN}`,
    lockedUrl,
    push(next) {
      status = next;
      for (const stream of streams) stream.write(`data: ${JSON.stringify(next)}\n\n`);
    },
    goAway() {
      away = true;
      dropStreams();
    },
    comeBack() {
      away = false;
    },
    lock() {
      locked = true;
      dropStreams();
    },
    async close() {
      dropStreams();
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
    },
  };
}

function sendJson(response: ServerResponse, statusCode: number, body: unknown): void {
  response.writeHead(statusCode, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

async function sendFile(response: ServerResponse, file: string): Promise<void> {
  const content = await readFile(file);
  response.writeHead(200, { "content-type": TYPES[path.extname(file)] ?? "application/octet-stream" });
  response.end(content);
}
