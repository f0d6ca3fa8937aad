/** Errors on their way out: from the table, and never with the text of an unexpected one. */
import { ConsiliumError, errorBody, toConsiliumError } from "@consilium/shared/errors";
import type { FastifyError, FastifyInstance } from "fastify";
import type { Counted } from "../counted.ts";
import { stackOf } from "../realtime/handlers.ts";

export function handleErrors(app: FastifyInstance, counted: Pick<Counted, "refused">): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = classify(error);
    if (known.code === "internal") {
      request.log.error({ route: request.routeOptions.url, ...stackOf(known) }, "unexpected error");
    }
    counted.refused("http", known.code);
    return reply.status(known.status).send(errorBody(known));
  });
  app.setNotFoundHandler((_request, reply) =>
    reply.status(404).send({
      code: "route.unknown",
      message: "There is nothing at this address.",
      next: "See /api/openapi.json.",
      culprits: [],
    }),
  );
}

function classify(error: FastifyError): ConsiliumError {
  if (error.validation !== undefined) {
    const culprits = error.validation.map(({ instancePath }) => instancePath.slice(1).replaceAll("/", "."));
    return new ConsiliumError("protocol.invalid-message", { culprits, cause: error });
  }
  const known = toConsiliumError(error);
  // What fastify itself refuses before a handler runs: bad JSON, a body too large, another content type.
  const refused = known.code === "internal" && (error.statusCode ?? 500) < 500;
  return refused ? new ConsiliumError("protocol.invalid-message", { cause: error }) : known;
}
