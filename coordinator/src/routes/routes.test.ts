/** The HTTP side without a port, through inject(). */
import { createIdentity, sign, verify, type Identity } from "@consilium/shared/crypto/identity";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import { planHash } from "@consilium/shared/plan";
import {
  challengeReplySchema,
  enrolmentReplySchema,
  errorBodySchema,
  federationStatusSchema,
  invitationReplySchema,
  sessionReplySchema,
} from "@consilium/shared/protocol/http";
import { formatToken, parseToken } from "@consilium/shared/protocol/token";
import type { LightMyRequestResponse } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { prepareCoordinator, type PreparedCoordinator } from "../app.ts";
import { systemClock, type Clock } from "../clock.ts";
import { Bench, seeded, testPlan } from "../testing/coordinator.ts";
import { federation, hashOf, siteId } from "../testing/values.ts";
import { parseRange } from "./blobs.ts";

const bench = new Bench();
const next = seeded(9);
const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => next() * 256);

/** The system's, and some more. */
let aheadMs = 0;
const clock: Clock = { ...systemClock, now: () => systemClock.now() + aheadMs };

let coordinator: PreparedCoordinator;
beforeAll(async () => {
  const home = await bench.home();
  coordinator = await prepareCoordinator({ home, plan: testPlan(), clock });
});
afterAll(async () => {
  await coordinator.cleanup.run();
  await bench.end();
});

const operator = () => ({ authorization: `Bearer ${coordinator.operatorToken}` });
const post = (url: string, payload: object, headers: Record<string, string> = {}) =>
  coordinator.http.inject({ method: "POST", url, payload, headers });
const get = (url: string, headers: Record<string, string> = {}) =>
  coordinator.http.inject({ method: "GET", url, headers });

function body<T extends z.ZodType>(schema: T, response: LightMyRequestResponse): z.infer<T> {
  expect(response.statusCode, response.body).toBe(200);
  return schema.parse(response.json());
}

function expectError(response: LightMyRequestResponse, status: number, code: string): void {
  expect({ status: response.statusCode, code: errorBodySchema.parse(response.json()).code }).toEqual({
    status,
    code,
  });
}

async function invite(site: string, validForMs?: number): Promise<string> {
  const payload = validForMs === undefined ? { site } : { site, validForMs };
  const response = await post("/api/federations/chest/invitations", payload, operator());
  return body(invitationReplySchema, response).token;
}

function enrol(token: string, identity: Identity, change: object = {}): Promise<LightMyRequestResponse> {
  const { federation: name, site, secret } = parseToken(token);
  const request = { federation: name, site, identity: identity.public, tokenSecret: secret, ...change };
  return post("/api/enrolments", sign("enrolment", request, identity));
}

describe("enrolment", () => {
  it("pins the coordinator's keys and brings the signed plan", async () => {
    const token = await invite("north");
    const reply = body(enrolmentReplySchema, await enrol(token, createIdentity(random)));
    expect(reply.coordinator).toEqual(parseToken(token).coordinator);
    expect(planHash(verify("plan", reply.plan, reply.coordinator))).toBe(planHash(testPlan()));
  });

  it("may be repeated by the same key, so that a lost answer costs nothing", async () => {
    const token = await invite("again");
    const identity = createIdentity(random);
    const first = body(enrolmentReplySchema, await enrol(token, identity));
    expect(body(enrolmentReplySchema, await enrol(token, identity))).toEqual(first);
    expect(body(enrolmentReplySchema, await enrol(await invite("again"), identity))).toEqual(first);
  });

  it("with a used token is refused to another key", async () => {
    const token = await invite("once");
    body(enrolmentReplySchema, await enrol(token, createIdentity(random)));
    expectError(await enrol(token, createIdentity(random)), 409, "enrolment.token-used");
  });

  it("with a wrong token, or another site's, is refused", async () => {
    const identity = createIdentity(random);
    const parts = parseToken(await invite("other"));
    const wrong = formatToken({ ...parts, secret: toBase64Url(random(32)) });
    expectError(await enrol(wrong, identity), 401, "enrolment.token-unknown");
    const stolen = formatToken({ ...parts, site: siteId("thief") });
    expectError(await enrol(stolen, identity), 401, "enrolment.token-unknown");
  });

  it("with a token that has expired is refused", async () => {
    const token = await invite("slow", 60_000);
    aheadMs = 61_000;
    expectError(await enrol(token, createIdentity(random)), 410, "enrolment.token-expired");
    aheadMs = 0;
  });

  it("under a name that another key holds is refused", async () => {
    body(enrolmentReplySchema, await enrol(await invite("taken"), createIdentity(random)));
    expectError(await enrol(await invite("taken"), createIdentity(random)), 409, "enrolment.site-taken");
  });

  it("without the key is refused", async () => {
    const token = await invite("keyless");
    const response = await enrol(token, createIdentity(random), { identity: createIdentity(random).public });
    expectError(response, 401, "crypto.bad-signature");
  });

  it("to an unknown federation is refused", async () => {
    const response = await enrol(await invite("lost"), createIdentity(random), { federation: "elsewhere" });
    expectError(response, 404, "federation.unknown");
  });
});

describe("sessions", () => {
  const identity = createIdentity(random);
  const site = siteId("session");
  const siteNonce = toBase64Url(random(32));
  beforeAll(async () => {
    body(enrolmentReplySchema, await enrol(await invite(site), identity));
  });

  const challengeFor = async (name: string): Promise<string> =>
    body(challengeReplySchema, await post("/api/challenges", { federation, site: name })).challenge;
  const open = (challenge: string, signer = identity) =>
    post("/api/sessions", sign("session", { federation, site, challenge, siteNonce }, signer));

  it("are proved from both sides", async () => {
    const { proof } = body(sessionReplySchema, await open(await challengeFor(site)));
    const [status] = body(z.array(federationStatusSchema), await get("/api/federations", operator()));
    expect(status?.federation).toBe(federation);
    const keys = parseToken(await invite("keys")).coordinator;
    expect(verify("coordinator-proof", proof, keys)).toEqual({ federation, site, siteNonce });
  });

  it("need a challenge of this coordinator, for this site, that is fresh and was not used", async () => {
    const challenge = await challengeFor(site);
    expect((await open(challenge)).statusCode).toBe(200);
    expectError(await open(challenge), 401, "auth.required");
    expectError(await open(toBase64Url(random(32))), 401, "auth.required");
    expectError(await open(await challengeFor("other-site")), 401, "auth.required");
    const old = await challengeFor(site);
    aheadMs = 61_000;
    expectError(await open(old), 401, "auth.required");
    aheadMs = 0;
  });

  it("need the site's key, and challenges do not tell who is enrolled", async () => {
    expectError(await open(await challengeFor(site), createIdentity(random)), 401, "auth.failed");
    const challenge = await challengeFor("nobody");
    const request = sign("session", { federation, site: "nobody", challenge, siteNonce }, identity);
    expectError(await post("/api/sessions", request), 401, "auth.failed");
  });

  it("do not make a site an operator, and end", async () => {
    const { session } = body(sessionReplySchema, await open(await challengeFor(site)));
    const bearer = { authorization: `Bearer ${session}` };
    expectError(await get("/api/federations", bearer), 401, "auth.required");
    expectError(await get(`/api/blobs/${hashOf("x")}`, bearer), 404, "blob.unknown");
    aheadMs = 13 * 3600_000;
    expectError(await get(`/api/blobs/${hashOf("x")}`, bearer), 401, "auth.required");
    aheadMs = 0;
  });
});

describe("operators", () => {
  it("alone see the status, the metrics and make invitations", async () => {
    for (const headers of [{}, { authorization: "Bearer wrong" }, { cookie: "consilium=x" }]) {
      for (const url of [
        "/api/federations",
        "/api/federations/chest",
        "/api/federations/chest/events",
        "/metrics",
      ]) {
        expectError(await get(url, headers), 401, "auth.required");
      }
      const response = await post("/api/federations/chest/invitations", { site: "x" }, headers);
      expectError(response, 401, "auth.required");
    }
  });

  it("see where a federation stands", async () => {
    const status = body(federationStatusSchema, await get("/api/federations/chest", operator()));
    expect(status).toMatchObject({ phase: "waiting", round: 0, rounds: 3, history: [], checkpoint: null });
    expect(status.sites.map(({ site }) => site)).toContain("north");
    expectError(await get("/api/federations/other", operator()), 404, "federation.unknown");
  });

  it("get Prometheus metrics", async () => {
    const { body: text } = await get("/metrics", operator());
    expect(text).toContain('consilium_phase{federation="chest",phase="waiting"} 1');
    expect(text).toContain("consilium_http_request_seconds_count");
  });

  it("open the printed address once and then hold a cookie that is not the token", async () => {
    const { operatorToken } = coordinator;
    const opened = await get(`/?token=${operatorToken}`);
    expect(opened.statusCode).toBe(303);
    expect(opened.headers.location).toBe("/");
    const [cookie] = opened.cookies;
    if (cookie === undefined) throw new Error("a cookie is set");
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict", path: "/" });
    expect(JSON.stringify(opened.headers)).not.toContain(operatorToken);
    const status = await get("/api/federations", { cookie: `${cookie.name}=${cookie.value}` });
    expect(status.statusCode).toBe(200);
    expectError(await get("/?token=wrong"), 401, "auth.required");
  });
});

describe("everyone", () => {
  it("sees that the coordinator is up, and its OpenAPI description", async () => {
    expect((await get("/healthz")).json()).toEqual({ status: "ok" });
    const { paths } = z
      .object({ paths: z.record(z.string(), z.unknown()) })
      .parse((await get("/api/openapi.json")).json());
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining([
        "/api/enrolments",
        "/api/sessions",
        "/api/blobs/{sha256}",
        "/api/federations/{federation}",
      ]),
    );
  });

  it("gets security headers on pages, answers and errors", async () => {
    for (const url of ["/", "/healthz", "/api/federations", "/nothing"]) {
      const { headers } = await get(url);
      expect(headers["content-security-policy"]).toContain("default-src 'self'");
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers["x-frame-options"]).toBe("DENY");
    }
  });

  it("is told which field is wrong, and never its value", async () => {
    const response = await post("/api/challenges", { federation: "chest", site: "CANARY Patient" });
    expectError(response, 400, "protocol.invalid-message");
    expect(errorBodySchema.parse(response.json()).culprits).toEqual(["site"]);
    expect(response.body).not.toContain("CANARY");
  });

  it("gets a typed error for bodies that are not JSON, too large, or missing", async () => {
    const send = (payload: string, type = "application/json") =>
      coordinator.http.inject({
        method: "POST",
        url: "/api/challenges",
        payload,
        headers: { "content-type": type },
      });
    for (const payload of ["{", "", `{"site":"${"x".repeat(100_000)}"}`]) {
      expectError(await send(payload), 400, "protocol.invalid-message");
    }
    expectError(await send("site=x", "application/x-www-form-urlencoded"), 400, "protocol.invalid-message");
  });
});

it("understands byte ranges", () => {
  expect(parseRange(undefined, 10)).toBeNull();
  expect(parseRange("bytes=0-", 10)).toEqual({ start: 0, end: 10 });
  expect(parseRange("bytes=3-5", 10)).toEqual({ start: 3, end: 6 });
  expect(parseRange("bytes=3-500", 10)).toEqual({ start: 3, end: 10 });
  expect(parseRange("bytes=-4", 10)).toEqual({ start: 6, end: 10 });
  expect(parseRange("bytes=-400", 10)).toEqual({ start: 0, end: 10 });
  expect(parseRange("bytes=10-", 10)).toBe("unsatisfiable");
  expect(parseRange("bytes=5-3", 10)).toBe("unsatisfiable");
  for (const whole of ["bytes=-", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b"]) {
    expect(parseRange(whole, 10)).toBeNull();
  }
});
