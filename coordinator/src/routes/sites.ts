/** What sites call: enrolment, and sessions. */
import {
  challengeReplySchema,
  challengeRequestSchema,
  enrolmentReplySchema,
  sessionReplySchema,
  signedEnrolmentRequestSchema,
  signedSessionRequestSchema,
} from "@consilium/shared/protocol/http";
import type { FastifyPluginCallbackZod } from "@fastify/type-provider-zod";
import type { Enrolment } from "../governance/enrolment.ts";
import type { Sessions } from "../governance/sessions.ts";

export function siteRoutes(ports: {
  readonly enrolment: Enrolment;
  readonly sessions: Sessions;
}): FastifyPluginCallbackZod {
  return (app, _options, done) => {
    app.post(
      "/api/enrolments",
      {
        schema: {
          summary: "Join the roster with a one-time token",
          tags: ["sites"],
          body: signedEnrolmentRequestSchema,
          response: { 200: enrolmentReplySchema },
        },
      },
      (request) => ports.enrolment.enrol(request.body),
    );
    app.post(
      "/api/challenges",
      {
        schema: {
          summary: "Get a challenge to sign",
          tags: ["sites"],
          body: challengeRequestSchema,
          response: { 200: challengeReplySchema },
        },
      },
      ({ body }) => ({ challenge: ports.sessions.challenge(body.federation, body.site) }),
    );
    app.post(
      "/api/sessions",
      {
        schema: {
          summary: "Open a session with a signed challenge",
          tags: ["sites"],
          body: signedSessionRequestSchema,
          response: { 200: sessionReplySchema },
        },
      },
      (request) => ports.sessions.open(request.body),
    );
    done();
  };
}
