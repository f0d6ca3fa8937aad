import { chain, EMPTY_CHAIN, type AuditEvent, type AuditLine } from "@consilium/shared/audit/chain";
import { createIdentity, sign } from "@consilium/shared/crypto/identity";
import type { FederationId } from "@consilium/shared/ids";
import type { AuditHead } from "@consilium/shared/protocol/governance";
import { expect, it } from "vitest";
import { federation, siteId } from "../testing/values.ts";
import { verifyAudit } from "./verify.ts";

const identity = (byte: number) => createIdentity((length) => new Uint8Array(length).fill(byte));
const coordinator = identity(1);
const site = identity(2);
const mallory = identity(3);
const keyOfCoordinator = () => Promise.resolve(coordinator.public);

/** A log of several federations, as it grows. */
class Log {
  readonly #lines: AuditLine[] = [];

  add(of: FederationId, event: string, data: AuditEvent["data"]): AuditLine {
    const last = this.#lines.at(-1) ?? EMPTY_CHAIN;
    const line = chain(last, { at: "2026-01-02T03:04:05.000Z", federation: of, event, data });
    this.#lines.push(line);
    return line;
  }

  /** A site with one round that was signed. */
  round(of: FederationId, name: string, by = coordinator, hash = ""): AuditHead {
    this.add(of, "site.enrolled", { site: name, fingerprint: "", identity: { ...site.public } });
    const { seq, hash: last } = this.add(of, "audit.closed", { round: 1 });
    const head = { federation: of, round: 1, seq, hash: hash === "" ? last : (hash as typeof last) };
    const signed = sign("audit-head", head, by);
    this.add(of, "audit.signed", { ...signed, body: { ...signed.body } });
    return head;
  }

  countersign(head: AuditHead, name: string, by = site): void {
    const signed = sign("audit-countersignature", { ...head, site: siteId(name) }, by);
    this.add(head.federation, "audit.countersigned", { ...signed, body: { ...signed.body } });
  }

  get lines(): string[] {
    return this.#lines.map((line) => JSON.stringify(line));
  }
}

/** A log in which one round was signed and countersigned, with keys of the test's choice. */
function log({ headBy = coordinator, countersignedBy = site, hash = "" } = {}): string[] {
  const one = new Log();
  one.countersign(one.round(federation, "a", headBy, hash), "a", countersignedBy);
  return one.lines;
}

it("counts what is signed and countersigned", async () => {
  expect(await verifyAudit(log(), keyOfCoordinator)).toEqual({
    ok: true,
    lines: 4,
    heads: 1,
    countersignatures: 1,
    newestSigners: { [federation]: ["a"] },
    unsigned: 2,
  });
});

it("tells federations of one log apart, and a newest head from one before", async () => {
  const one = new Log();
  const other = "lungs" as FederationId;
  const [first, second] = [one.round(federation, "a"), one.round(other, "b")];
  one.countersign(first, "a");
  one.countersign(second, "b");
  const newer = one.round(federation, "c");
  // Late, and under the head before.
  one.countersign(first, "a");
  const newestSigners = async () => {
    const check = await verifyAudit(one.lines, keyOfCoordinator);
    return check.ok ? check.newestSigners : check;
  };
  expect(await newestSigners()).toEqual({ [federation]: [], [other]: ["b"] });
  one.countersign(newer, "c");
  expect(await newestSigners()).toEqual({ [federation]: ["c"], [other]: ["b"] });
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
