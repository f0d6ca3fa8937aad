/** What operators and the dashboard call: invitations, status, live events. */
import { federationIdSchema } from "@consilium/shared/ids";
import {
  federationStatusSchema,
  invitationReplySchema,
  invitationRequestSchema,
  type FederationStatus,
} from "@consilium/shared/protocol/http";
import type { FastifyPluginCallbackZod } from "@fastify/type-provider-zod";
import { z } from "zod";
import { isoTime, type Clock } from "../clock.ts";
import type { Federations } from "../federation/registry.ts";
import type { Enrolment } from "../governance/enrolment.ts";
import type { Access } from "./access.ts";
import { streamStatus } from "./events.ts";

const params = z.strictObject({ federation: federationIdSchema });

export function operatorRoutes(ports: {
  readonly enrolment: Enrolment;
  readonly federations: Federations;
  readonly access: Access;
  readonly clock: Clock;
  /** Of all federations, wherever they run. */
  readonly statuses: () => Promise<FederationStatus[]> | FederationStatus[];
}): FastifyPluginCallbackZod {
  const { enrolment, federations, access, clock, statuses } = ports;
  return (app, _options, done) => {
    app.addHook("onRequest", access.operatorsOnly);
    app.post(
      "/api/federations/:federation/invitations",
      {
        schema: {
          summary: "Invite a site; the token is shown once",
          tags: ["operators"],
          params,
          body: invitationRequestSchema,
          response: { 200: invitationReplySchema },
        },
      },
      async ({ params: { federation }, body }) => {
        const { token, site, expiresAtMs } = await enrolment.invite(federation, body.site, body.validForMs);
        return { token, site, expiresAt: isoTime(expiresAtMs) };
      },
    );
    app.get(
      "/api/federations",
      {
        schema: {
          summary: "All federations of this coordinator",
          tags: ["operators"],
          response: { 200: z.array(federationStatusSchema) },
        },
      },
      () => statuses(),
    );
    app.get(
      "/api/federations/:federation",
      {
        schema: {
          summary: "Where a federation stands",
          tags: ["operators"],
          params,
          response: { 200: federationStatusSchema },
        },
      },
      ({ params: { federation } }) => federations.get(federation).status(),
    );
    app.post(
      "/api/federations/:federation/resume",
      {
        schema: {
          summary: "Let training go on that paused because models got worse",
          tags: ["operators"],
          params,
          response: { 200: federationStatusSchema },
        },
      },
      async ({ params: { federation } }) => {
        const service = federations.get(federation);
        await service.resume();
        return service.status();
      },
    );
    app.get(
      "/api/federations/:federation/events",
      {
        schema: {
          summary: "The same, again on each change, as server-sent events",
          tags: ["operators"],
          produces: ["text/event-stream"],
          params,
        },
      },
      ({ params: { federation } }, reply) => {
        streamStatus(federations.get(federation), reply, clock);
      },
    );
    done();
  };
}
