import { chain, EMPTY_CHAIN, type AuditEvent, type AuditLine } from "@consilium/shared/audit/chain";
import { createIdentity, sign } from "@consilium/shared/crypto/identity";
import { expect, it } from "vitest";
import { federation, siteId } from "../testing/values.ts";
import { verifyAudit } from "./verify.ts";

const identity = (byte: number) => createIdentity((length) => new Uint8Array(length).fill(byte));
const coordinator = identity(1);
const site = identity(2);
const mallory = identity(3);
const keyOfCoordinator = () => Promise.resolve(coordinator.public);

/** A log in which one round was signed and countersigned, with keys of the test's choice. */
function log({ headBy = coordinator, countersignedBy = site, hash = "" } = {}): string[] {
  const lines: AuditLine[] = [];
  const add = (event: string, data: AuditEvent["data"]): AuditLine => {
    const line = chain(lines.at(-1) ?? EMPTY_CHAIN, {
      at: "2026-01-02T03:04:05.000Z",
      federation,
      event,
      data,
    });
    lines.push(line);
    return line;
  };
  add("site.enrolled", { site: "a", fingerprint: "", identity: { ...site.public } });
  const { seq, hash: last } = add("audit.closed", { round: 1 });
  const head = { federation, round: 1, seq, hash: hash === "" ? last : (hash as typeof last) };
  const signed = sign("audit-head", head, headBy);
  add("audit.signed", { ...signed, body: { ...signed.body } });
  const counter = sign("audit-countersignature", { ...head, site: siteId("a") }, countersignedBy);
  add("audit.countersigned", { ...counter, body: { ...counter.body } });
  return lines.map((line) => JSON.stringify(line));
}

it("counts what is signed and countersigned", async () => {
  expect(await verifyAudit(log(), keyOfCoordinator)).toEqual({
    ok: true,
    lines: 4,
    heads: 1,
    countersignatures: 1,
    newestSigners: ["a"],
  });
});

it("names the line of a signature that is somebody else's, or under something else", async () => {
  const bad = (brokenAt: number) => ({ ok: false, brokenAt, why: "signature" });
  expect(await verifyAudit(log({ headBy: mallory }), keyOfCoordinator)).toEqual(bad(3));
  expect(await verifyAudit(log({ countersignedBy: mallory }), keyOfCoordinator)).toEqual(bad(4));
  expect(await verifyAudit(log({ hash: "0".repeat(64) }), keyOfCoordinator)).toEqual(bad(3));
});

it("names the first line that does not follow", async () => {
  const lines = log().toSpliced(1, 1);
  expect(await verifyAudit(lines, keyOfCoordinator)).toEqual({ ok: false, brokenAt: 2, why: "chain" });
});
