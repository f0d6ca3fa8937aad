/** What a malicious coordinator tries with its audit log, on real agents. */
import { chain, linkOf } from "@consilium/shared/audit/chain";
import { sha256 } from "@consilium/shared/canonical";
import { sign } from "@consilium/shared/crypto/identity";
import type { AuditShown } from "@consilium/shared/protocol/governance";
import { afterEach, expect, it } from "vitest";
import { witnessedHeads } from "../../site-agent/src/governance/audit-witness.ts";
import { Stage } from "./support/stage.ts";

let stage: Stage | null = null;
afterEach(async () => {
  await stage?.strike();
  stage = null;
});

/** The log's end after a round before which something was rewritten, signed with the coordinator's own key. */
function rewrittenLog({ coordinatorKey }: Stage, shown: AuditShown): AuditShown {
  const [first] = shown.links;
  if (shown.head === null || first === undefined) return shown;
  const { federation, round } = shown.head.body;
  const before = { seq: first.seq - 1, hash: sha256("another line") };
  const line = chain(before, { at: "2026-01-02T03:04:05.000Z", federation, event: "audit.closed", data: {} });
  const { seq, hash } = line;
  return {
    head: sign("audit-head", { federation, round, seq, hash }, coordinatorKey),
    links: [linkOf(line)],
  };
}

it("a coordinator that shows one site another past than before gets no signature from it, and the others go on", async () => {
  const on = (stage = await Stage.set(["a", "b", "c", "d"], { rounds: 2, minSites: 3 }));
  on.tamper("a", { audit: (shown) => rewrittenLog(on, shown) });
  on.play();
  expect(await on.failure("a")).toMatchObject({ code: "audit.rewritten" });
  await on.globalModel("b");
  const roundsOf = async (name: string): Promise<readonly number[]> => {
    const { federation } = on.service;
    const heads = await witnessedHeads(on.actor(name).site.home.auditHeadsFile).of(federation);
    return heads.map(({ round }) => round);
  };
  expect(await roundsOf("a")).toEqual([1]);
  expect(await roundsOf("b")).toEqual([1, 2]);
});
