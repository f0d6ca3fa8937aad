/** The roster, the audit log's heads, and why a site waits: what sites and the operator decide beside the training. */
import { ConsiliumError } from "@consilium/shared/errors";
import { federationIdSchema } from "@consilium/shared/ids";
import {
  auditShownSchema,
  endorsementReplySchema,
  removalReplySchema,
  removalRequestSchema,
  rosterShownSchema,
  signedCountersignatureSchema,
} from "@consilium/shared/protocol/governance";
import { holdReplySchema, holdRequestSchema } from "@consilium/shared/protocol/hold";
import { signedEndorsementSchema } from "@consilium/shared/roster/roster";
import type { FastifyPluginCallbackZod } from "@fastify/type-provider-zod";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { Federations } from "../federation/registry.ts";
import type { Council } from "../governance/council.ts";
import type { Session } from "../governance/sessions.ts";
import type { Access } from "./access.ts";

const params = z.strictObject({ federation: federationIdSchema });

export function governanceRoutes(ports: {
  readonly federations: Federations;
  readonly councils: ReadonlyMap<string, Council>;
  readonly access: Access;
}): FastifyPluginCallbackZod {
  const { federations, councils, access } = ports;
  const councilOf = (federation: string): Council => {
    const council = councils.get(federation);
    if (council === undefined) throw new ConsiliumError("federation.unknown");
    return council;
  };
  /** The site that calls, in its own federation. @throws auth.required, federation.unknown */
  const siteOf = (request: FastifyRequest, federation: string): Session => {
    const session = access.siteOrOperator(request);
    if (session === null) throw new ConsiliumError("auth.required");
    if (session.federation !== federation) throw new ConsiliumError("federation.unknown");
    return session;
  };

  return (app, _options, done) => {
    app.get(
      "/api/federations/:federation/roster",
      {
        schema: {
          summary: "The roster's versions with the signatures that they rest on, and who waits for some",
          tags: ["sites", "operators"],
          params,
          response: { 200: rosterShownSchema },
        },
      },
      (request) => {
        const { federation } = request.params;
        const session = access.siteOrOperator(request);
        if (session !== null) siteOf(request, federation);
        return councilOf(federation).shownRoster();
      },
    );
    app.post(
      "/api/federations/:federation/endorsements",
      {
        schema: {
          summary: "A member's signature for a site that wants to be on the roster",
          tags: ["sites"],
          params,
          body: signedEndorsementSchema,
          response: { 200: endorsementReplySchema },
        },
      },
      (request) => {
        const { federation } = request.params;
        const { site } = siteOf(request, federation);
        return councilOf(federation).endorse(site, request.body);
      },
    );
    app.post(
      "/api/federations/:federation/removals",
      {
        onRequest: access.operatorsOnly,
        schema: {
          summary: "Take a site off the roster",
          tags: ["operators"],
          params,
          body: removalRequestSchema,
          response: { 200: removalReplySchema },
        },
      },
      ({ params: { federation }, body }) => councilOf(federation).remove(body.site),
    );
    app.get(
      "/api/federations/:federation/audit",
      {
        schema: {
          summary: "The newest signed head of the audit log, and the chain up to it after a line",
          tags: ["sites"],
          params,
          querystring: z.strictObject({ after: z.coerce.number().int().min(0).optional() }),
          response: { 200: auditShownSchema },
        },
      },
      (request) => {
        const { federation } = request.params;
        siteOf(request, federation);
        return councilOf(federation).shownAudit(request.query.after ?? null);
      },
    );
    app.post(
      "/api/federations/:federation/countersignatures",
      {
        schema: {
          summary: "A site's signature under the audit log's head",
          tags: ["sites"],
          params,
          body: signedCountersignatureSchema,
          response: { 200: z.strictObject({}) },
        },
      },
      async (request) => {
        const { federation } = request.params;
        const { site } = siteOf(request, federation);
        await councilOf(federation).countersign(site, request.body);
        return {};
      },
    );
    app.post(
      "/api/federations/:federation/holds",
      {
        schema: {
          summary: "Why a site takes no part for now; null once it goes on",
          tags: ["sites"],
          params,
          body: holdRequestSchema,
          response: { 200: holdReplySchema },
        },
      },
      (request) => {
        const { federation } = request.params;
        const { site } = siteOf(request, federation);
        federations.get(federation).hold(site, request.body.hold);
        return {};
      },
    );
    done();
  };
}
