/** The dashboard's built files, and the one-time address that makes a browser an operator's. */
import { existsSync } from "node:fs";
import fastifyStatic from "@fastify/static";
import type { FastifyInstance } from "fastify";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Operators } from "../governance/operator.ts";

const COOKIE_SECONDS = 30 * 24 * 3600;

const NOT_BUILT = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Consilium</title>
<body><h1>Consilium coordinator</h1>
<p>The dashboard is not built. Run <code>npm ci</code> and start the coordinator again.</p>
<p>Machines find the API at <a href="/api/openapi.json">/api/openapi.json</a>.</p></body></html>`;

export async function servePage(
  app: FastifyInstance,
  { operators, folder }: { readonly operators: Operators; readonly folder: string },
): Promise<void> {
  app.addHook("onRequest", async (request, reply) => {
    if (request.method !== "GET" || request.routeOptions.url?.startsWith("/api/") === true) return;
    const { token } = request.query as { token?: unknown };
    if (typeof token !== "string") return;
    if (!operators.isToken(token)) throw new ConsiliumError("auth.required");
    await reply
      .setCookie(operators.cookieName, operators.cookieValue, {
        path: "/",
        httpOnly: true,
        sameSite: "strict",
        secure: request.protocol === "https",
        maxAge: COOKIE_SECONDS,
      })
      // Out of the address bar, the history and the referrer.
      .header("cache-control", "no-store")
      .redirect("/", 303);
  });
  if (existsSync(folder)) {
    await app.register(fastifyStatic, { root: folder, index: "index.html" });
  } else {
    app.get("/", { schema: { hide: true } }, (_request, reply) => reply.type("text/html").send(NOT_BUILT));
  }
}
