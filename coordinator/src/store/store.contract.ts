/** What every store must do; run over each implementation. */
import { createIdentity } from "@consilium/shared/crypto/identity";
import { sha256 } from "@consilium/shared/canonical";
import { byGroup } from "@consilium/shared/fingerprint/layout";
import type { Attempt, Round, UploadId } from "@consilium/shared/ids";
import { planHash } from "@consilium/shared/plan";
import { beforeEach, describe, expect, it } from "vitest";
import { verifyChain } from "@consilium/shared/audit/chain";
import { auditEvent } from "../audit/events.ts";
import { Ledger } from "../federation/ledger.ts";
import type { Fact } from "../federation/types.ts";
import { seeded, testPlan } from "../testing/coordinator.ts";
import { cohortRecord, federation, hashOf, header, record, siteId } from "../testing/values.ts";
import type { SiteRow, Store } from "./store.ts";

const audit = auditEvent(federation, "event", { number: 1 }, 0);
const round1 = { round: 1 as Round, attempt: 1 as Attempt };

export interface StoreHarness {
  /** Empty. */
  open(): Promise<Store>;
  /** The same rows again, as after a restart. */
  reopen(): Promise<Store>;
}

export function storeContract(name: string, makeHarness: () => Promise<StoreHarness>): void {
  describe(`${name} keeps the store's contract`, () => {
    let harness: StoreHarness;
    let store: Store;
    const next = seeded(3);
    const row = (site: string): SiteRow => ({
      federation,
      site: siteId(site),
      identity: createIdentity((length) => Uint8Array.from({ length }, () => next() * 256)).public,
      enrolledAtMs: 5,
      removedAtMs: null,
    });

    beforeEach(async () => {
      harness = await makeHarness();
      store = await harness.open();
      const plan = testPlan();
      await store.createFederation(
        { federation, plan: { body: plan, signature: "A".repeat(86) }, planHash: planHash(plan) },
        audit,
      );
    });

    const enrol = async (site: string): Promise<SiteRow> => {
      const enrolled = row(site);
      const secretHash = sha256(`secret ${site}`);
      const invitation = { secretHash, federation, site: siteId(site), expiresAtMs: 10, usedAtMs: null };
      await store.createInvitation(invitation, audit);
      await store.enrol(enrolled, secretHash, audit);
      return enrolled;
    };
    const commit = (...facts: readonly Fact[]) =>
      store.commit(
        federation,
        facts,
        7,
        facts.map(() => audit),
      );
    const opened = {
      fact: "round.opened",
      ...round1,
      base: hashOf("checkpoint 0"),
      cohort: [siteId("a")],
    } as const;

    it("makes the first roster of those who are enrolled when the first round opens, and drops what was signed", async () => {
      await enrol("a");
      await enrol("b");
      expect(await store.rosterChanges(federation)).toEqual([]);
      const opened = {
        fact: "round.opened",
        ...round1,
        base: hashOf("model"),
        cohort: [siteId("a")],
      } as const;
      await commit(opened);
      await enrol("late");
      const [formed, ...later] = await store.rosterChanges(federation);
      expect(formed).toMatchObject({ change: "formed", version: 1 });
      expect(formed?.change === "formed" && formed.members.map(({ site }) => site)).toEqual(["a", "b"]);
      expect(later).toEqual([]);

      const { identity } = row("late");
      const body = {
        federation,
        endorser: siteId("a"),
        version: 1,
        roster: hashOf("roster"),
        site: siteId("late"),
        identity,
      };
      const signed = { body, signature: "A".repeat(86) };
      await store.endorse(federation, signed, audit);
      await store.endorse(federation, signed, audit);
      expect(await store.endorsements(federation)).toEqual([signed]);
      const change = {
        change: "added",
        version: 2,
        site: siteId("late"),
        identity,
        endorsements: [signed],
      } as const;
      await store.changeRoster(federation, change, 8, [audit]);
      expect(await store.endorsements(federation)).toEqual([]);
      store = await harness.reopen();
      expect((await store.rosterChanges(federation)).at(-1)).toEqual(change);
    });

    it("enrols a site anew that was removed, with other keys", async () => {
      await enrol("a");
      await store.removeSite(federation, siteId("a"), 9, audit);
      expect(await store.sites(federation)).toMatchObject([{ site: "a", removedAtMs: 9 }]);
      const again = row("a");
      const secretHash = sha256("another secret");
      const invitation = { secretHash, federation, site: siteId("a"), expiresAtMs: 10, usedAtMs: null };
      await store.createInvitation(invitation, audit);
      await store.enrol(again, secretHash, audit);
      expect(await store.sites(federation)).toEqual([again]);
    });

    it("finds the newest audit lines of an event", async () => {
      const line = await store.addAudit(auditEvent(federation, "audit.signed", { round: 1 }, 3));
      await store.addAudit(audit);
      expect(await store.newestAudit(federation, "audit.signed", 1)).toEqual([line]);
      expect(await store.newestAudit(federation, "nothing", 1)).toEqual([]);
    });

    it("gives a federation's plan back as it was signed", async () => {
      const [kept] = await (await harness.reopen()).federations();
      expect(kept?.plan.body).toEqual(testPlan());
      expect(kept?.planHash).toBe(planHash(testPlan()));
    });

    it("uses an invitation up once", async () => {
      const enrolled = await enrol("a");
      expect(await store.sites(federation)).toEqual([enrolled]);
      expect((await store.invitation(sha256("secret a")))?.usedAtMs).toBe(5);
      await expect(store.enrol(row("b"), sha256("secret a"), audit)).rejects.toMatchObject({
        code: "enrolment.token-used",
      });
      expect(await store.sites(federation)).toHaveLength(1);
      expect(await store.invitation(sha256("another"))).toBeNull();
    });

    it("keeps one contribution of a site in an attempt", async () => {
      await enrol("a");
      await commit(opened, { fact: "contribution.accepted", header: header("a", 1, 1) });
      const second = header("a", 1, 1, { sealedSha256: hashOf("other") });
      await expect(commit({ fact: "contribution.accepted", header: second })).rejects.toThrow();
      expect(await store.contribution(federation, siteId("a"), round1.round, round1.attempt)).toEqual(
        header("a", 1, 1),
      );
    });

    it("writes all of a transition or nothing", async () => {
      await enrol("a");
      await commit(opened);
      const before = await store.auditAfter(0);
      await expect(
        commit({ fact: "contribution.accepted", header: header("a", 1, 1) }, opened),
      ).rejects.toThrow();
      expect((await store.rounds(federation))[0]?.contributions).toEqual([]);
      expect(await store.auditAfter(0)).toEqual(before);
    });

    it("keeps what comes at the same time apart: one that fails takes none of the others with it", async () => {
      const names = ["a", "b", "c", "d"];
      for (const site of names) await enrol(site);
      await commit(opened);
      const accepted = names.map((site) => ({
        fact: "contribution.accepted" as const,
        header: header(site, 1, 1),
      }));
      const twice = { fact: "contribution.accepted" as const, header: header("a", 1, 1) };
      const results = await Promise.allSettled([...accepted, twice].map((fact) => commit(fact)));
      expect(results.filter(({ status }) => status === "rejected")).toHaveLength(1);
      const [round] = await store.rounds(federation);
      expect(round?.contributions.map(({ site }) => site)).toEqual(names);
      const lines = await store.auditAfter(0);
      expect(verifyChain(lines.map((line) => JSON.stringify(line))).ok).toBe(true);
    });

    it("holds the same rounds, checkpoints and totals as the facts say, also after a restart", async () => {
      for (const site of ["a", "b", "c"]) await enrol(site);
      const excluded = [{ site: siteId("c"), reason: "not connected" }];
      const facts: Fact[] = [
        { fact: "genesis.stored", record: record(0) },
        { ...opened, cohort: ["a", "b", "c"].map(siteId) },
        { fact: "contribution.accepted", header: header("c", 1, 1) },
        { fact: "contribution.accepted", header: header("a", 1, 1) },
        { fact: "contribution.dropped", ...round1, site: siteId("c"), reason: "hash.mismatch" },
        { fact: "round.abandoned", ...round1, excluded },
        { ...opened, attempt: 2 as Attempt },
        { fact: "contribution.accepted", header: header("a", 1, 2) },
        { fact: "round.closed", ...round1, attempt: 2 as Attempt, excluded: [] },
        {
          fact: "round.aggregated",
          ...round1,
          attempt: 2 as Attempt,
          record: record(1, ["a"]),
          serverState: hashOf("state 1"),
          average: hashOf("average 1"),
        },
        { fact: "federation.finished", checkpoint: hashOf("checkpoint 1") },
      ];
      const ledger = new Ledger([], [], []);
      for (const fact of facts) {
        await commit(fact);
        ledger.apply(fact, 7);
      }
      store = await harness.reopen();
      expect(await store.rounds(federation)).toEqual(ledger.rounds);
      expect(await store.checkpoints(federation)).toEqual(ledger.checkpoints);
      expect(await store.isAverage(hashOf("average 1"), federation)).toBe(true);
      expect(await store.isAverage(hashOf("average 1"), siteId("other") as string as typeof federation)).toBe(
        false,
      );
      expect(await store.isAverage(hashOf("checkpoint 1"), null)).toBe(false);
      expect(await store.contributionTotals(federation)).toEqual([
        { site: "a", contributions: 2, receivedBytes: 200 },
      ]);
      expect(ledger.totalsOf(siteId("a"))).toEqual({ site: "a", contributions: 2, receivedBytes: 200 });
    });

    it("knows whose checkpoint a hash is", async () => {
      await commit({ fact: "genesis.stored", record: record(0) });
      const hash = hashOf("checkpoint 0");
      expect(await store.isCheckpoint(hash, null)).toBe(true);
      expect(await store.isCheckpoint(hash, federation)).toBe(true);
      expect(await store.isCheckpoint(hash, siteId("other") as string as typeof federation)).toBe(false);
      expect(await store.isCheckpoint(hashOf("other"), null)).toBe(false);
    });

    it("keeps a site's newest fingerprint", async () => {
      await enrol("a");
      await enrol("b");
      const rowOf = (site: string, sealed: string, receivedAtMs: number) => ({
        federation,
        site: siteId(site),
        message: {
          header: {
            body: {
              federation,
              site: siteId(site),
              planHash: planHash(testPlan()),
              sealedSha256: hashOf(sealed),
            },
            signature: "A".repeat(86),
          },
          sealed,
        },
        receivedAtMs,
      });
      for (const [site, sealed, atMs] of [
        ["b", "one", 1],
        ["a", "two", 2],
        ["b", "three", 3],
      ] as const)
        await store.putFingerprint(rowOf(site, sealed, atMs), audit);
      store = await harness.reopen();
      expect(await store.fingerprints(federation)).toEqual([rowOf("a", "two", 2), rowOf("b", "three", 3)]);
    });

    it("keeps the sum of the fingerprints, whose round is over then, and counts no contribution for it", async () => {
      for (const site of ["a", "b", "c"]) await enrol(site);
      expect(await store.cohort(federation)).toBeNull();
      const round0 = { round: 0 as Round, attempt: 1 as Attempt };
      const cohort = ["a", "b", "c"].map(siteId);
      const masked = { context: hashOf("context"), site: siteId("a"), sha256: hashOf("frame"), bytes: 700 };
      const message = { step: "mask", masked: { body: masked, signature: "A".repeat(86) } } as const;
      const facts: Fact[] = [
        { ...opened, ...round0, cohort },
        { fact: "masking.opened", ...round0, roster: cohort },
        { fact: "masking.answered", ...round0, site: siteId("a"), message },
        { fact: "cohort.summed", ...round0, record: cohortRecord(["a", "b", "c"]) },
      ];
      const ledger = new Ledger([], [], []);
      for (const fact of facts) {
        await commit(fact);
        ledger.apply(fact, 7);
      }
      store = await harness.reopen();
      expect(await store.cohort(federation)).toEqual({
        record: cohortRecord(["a", "b", "c"]),
        givenUp: null,
      });
      expect(await store.cohort(federation)).toEqual(ledger.cohort);
      expect(await store.rounds(federation)).toEqual(ledger.rounds);
      expect(await store.rounds(federation)).toMatchObject([{ outcome: "aggregated", masking: null }]);
      const totals = [{ site: "a", contributions: 0, receivedBytes: 700 }];
      expect(await store.contributionTotals(federation)).toEqual(totals);
      expect(ledger.totalsOf(siteId("a"))).toEqual(totals[0]);
    });

    it("keeps why there is no such sum, and each site's newest distances", async () => {
      for (const site of ["a", "b"]) await enrol(site);
      const round0 = { round: 0 as Round, attempt: 2 as Attempt };
      await commit({ fact: "cohort.given-up", ...round0, reason: "secagg.garbled" });
      const rowOf = (site: string, hundredth: number, receivedAtMs: number) => ({
        federation,
        site: siteId(site),
        message: {
          body: {
            federation,
            site: siteId(site),
            planHash: planHash(testPlan()),
            cohort: hashOf("cohort"),
            hundredths: byGroup((name) => (name === "bodyPart" ? hundredth : null)),
          },
          signature: "A".repeat(86),
        },
        receivedAtMs,
      });
      for (const [site, hundredth, atMs] of [
        ["b", 100, 1],
        ["a", 2, 2],
        ["b", 3, 3],
      ] as const)
        await store.putDistances(rowOf(site, hundredth, atMs), audit);
      store = await harness.reopen();
      expect(await store.cohort(federation)).toEqual({ record: null, givenUp: "secagg.garbled" });
      expect(await store.distances(federation)).toEqual([rowOf("a", 2, 2), rowOf("b", 3, 3)]);
    });

    it("remembers which chunks of an upload are safe", async () => {
      const upload = "ab".repeat(16) as UploadId;
      const object = { kind: "contribution", header: header("a", 1, 1) } as const;
      const row = { upload, federation, site: siteId("a"), object, sizeBytes: 100, chunkBytes: 10 };
      await store.createUpload(row);
      for (const seq of [3, 1, 3]) await store.addChunk(upload, seq);
      store = await harness.reopen();
      expect(await store.chunks(upload)).toEqual([1, 3]);
      expect(await store.upload(upload)).toEqual(row);
      expect(await store.uploadsOf(federation, siteId("a"))).toEqual([row]);
      expect(await store.uploadsOf(federation, siteId("b"))).toEqual([]);
      await store.recutUpload({ ...row, chunkBytes: 5 }, [2, 3, 6]);
      expect(await store.uploads()).toEqual([{ ...row, chunkBytes: 5 }]);
      expect(await store.chunks(upload)).toEqual([2, 3, 6]);
      await store.removeUpload(upload);
      expect(await store.uploads()).toEqual([]);
      expect(await store.chunks(upload)).toEqual([]);
    });

    it("chains the audit lines in the order of the transitions", async () => {
      await enrol("a");
      await commit(opened);
      store = await harness.reopen();
      await commit({ fact: "federation.finished", checkpoint: hashOf("x") });
      const lines = await store.auditAfter(0);
      expect(lines.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
      expect(verifyChain(lines.map((line) => JSON.stringify(line)))).toEqual({ ok: true, lines: 5 });
      expect(await store.auditAfter(3)).toEqual(lines.slice(3));
      expect(await store.auditAfter(1, 2)).toEqual(lines.slice(1, 3));
    });
  });
}
