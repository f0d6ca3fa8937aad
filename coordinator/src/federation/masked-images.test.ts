/** What a coordinator of a masked federation takes of a site's images, and what not. */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { createIdentity, sign } from "@consilium/shared/crypto/identity";
import { byGroup } from "@consilium/shared/fingerprint/layout";
import { planHash } from "@consilium/shared/plan";
import { signedDistancesSchema, type DistancesMessage } from "@consilium/shared/protocol/fingerprint";
import { fixedRandom } from "@consilium/shared/secagg/testing/consortium";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import path from "node:path";
import { parseMessage } from "../realtime/handlers.ts";
import { openLibsqlStore } from "../store/libsql-store.ts";
import type { FederationRow, SiteRow, Store } from "../store/store.ts";
import { auditEvent } from "../audit/events.ts";
import { Bench, testPlan } from "../testing/coordinator.ts";
import { cohortRecord, federation, hashOf, siteId } from "../testing/values.ts";
import { MaskedImages } from "./masked-images.ts";

const bench = new Bench();
const plan = testPlan({ minSites: 3, aggregation: { secure: "masked" } });
const row: FederationRow = {
  federation,
  plan: { body: plan, signature: "A".repeat(86) },
  planHash: planHash(plan),
};
const identities = { a: createIdentity(fixedRandom("a")), b: createIdentity(fixedRandom("b")) };
const record = cohortRecord(["a", "b", "c"]);
const siteRow = (site: "a" | "b"): SiteRow => ({
  federation,
  site: siteId(site),
  identity: identities[site].public,
  enrolledAtMs: 0,
  removedAtMs: null,
});

let store: Store;
beforeEach(async () => {
  store = openLibsqlStore(path.join(await bench.home(), "test.db"));
  const audit = auditEvent(federation, "event", {}, 0);
  await store.createFederation(row, audit);
  for (const site of ["a", "b"] as const) {
    const secretHash = sha256(site);
    const invitation = { secretHash, federation, site: siteId(site), expiresAtMs: 1, usedAtMs: null };
    await store.createInvitation(invitation, audit);
    await store.enrol(siteRow(site), secretHash, audit);
  }
});
afterEach(async () => {
  await store.close();
  await bench.end();
});

const open = (hasSum = true): Promise<MaskedImages> =>
  MaskedImages.open(
    {
      store,
      logger: pino({ level: "silent" }),
      clock: { now: () => 5, steadyMs: () => 5, after: () => () => undefined },
      identity: identities.a,
      followAudit: () => Promise.resolve(),
    },
    row,
    { cohort: hasSum ? { record, givenUp: null } : null },
  );

const distances = (bodyPart: number | null, change: Partial<DistancesMessage> = {}): DistancesMessage => ({
  federation,
  site: siteId("a"),
  planHash: planHash(plan),
  cohort: sha256(canonicalJson({ ...record.body })),
  hundredths: byGroup((name) => (name === "bodyPart" ? bodyPart : 3)),
  ...change,
});
const signed = (body: DistancesMessage) => sign("image-distances", body, identities.a);

it("takes a site's distance from the sum, keeps the newest, and reads them again", async () => {
  const images = await open();
  await images.report(siteRow("a"), signed(distances(100)));
  expect(images.comparisons()).toMatchObject([{ site: "a", verdict: "body part unlike the others (1.00)" }]);
  await images.report(siteRow("a"), signed(distances(2)));
  await images.report(siteRow("a"), signed(distances(2)));
  expect((await store.auditAfter(0)).filter(({ event }) => event === "distances.received")).toHaveLength(2);
  const again = await open();
  expect(again.comparisons()).toEqual(images.comparisons());
  expect(again.comparisons()).toMatchObject([{ site: "a", verdict: "like the others" }]);
});

it("takes no distance from another sum, of another site or plan, or with another's signature", async () => {
  const images = await open();
  const forged = sign("image-distances", distances(0), identities.b);
  for (const [message, code] of [
    [signed(distances(0, { cohort: hashOf("another") })), "hash.mismatch"],
    [signed(distances(0, { site: siteId("b") })), "auth.failed"],
    [signed(distances(0, { planHash: hashOf("another") })), "plan.mismatch"],
    [forged, "crypto.bad-signature"],
  ] as const)
    await expect(images.report(siteRow("a"), message)).rejects.toMatchObject({ code });
  const early = await open(false);
  await expect(early.report(siteRow("a"), signed(distances(0)))).rejects.toMatchObject({
    code: "hash.mismatch",
  });
  expect(images.comparisons()).toEqual([]);
});

it("has no room on the wire for a finer distance than hundredths, and takes no single fingerprint", async () => {
  for (const wrong of [0.311, 101, -1])
    expect(() => parseMessage(signedDistancesSchema, signed(distances(wrong)))).toThrow(
      expect.objectContaining({ code: "protocol.invalid-message" }) as Error,
    );
  await expect((await open()).receive(siteRow("a"))).rejects.toMatchObject({
    code: "protocol.invalid-message",
  });
});
