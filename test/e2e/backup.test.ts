/** Back-up and restore of a coordinator, by the words of docs/operations.md, under real agents. */
import { execFileSync, spawnSync } from "node:child_process";
import { cp, mkdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { verifyChain } from "@consilium/shared/audit/chain";
import { afterEach, describe, expect, it } from "vitest";
import { readAuditLines } from "../../coordinator/src/audit/file.ts";
import { arithmeticTrainer, TestFederation, type AgentRun, type TestSite } from "../support/federation.ts";

const hasSqlite = spawnSync("sqlite3", ["-version"]).status === 0;

let federation: TestFederation;
afterEach(() => federation.close());

/** `sqlite3 coordinator.db ".backup FILE"` first and then `blobs/sha256`, `identity.json` and `operator.token`. */
async function backUp(home: string, copy: string): Promise<void> {
  await mkdir(path.join(copy, "blobs"), { recursive: true });
  execFileSync("sqlite3", ["coordinator.db", `.backup ${path.join(copy, "coordinator.db")}`], { cwd: home });
  for (const name of ["blobs/sha256", "identity.json", "operator.token"]) {
    await cp(path.join(home, name), path.join(copy, name), { recursive: true });
  }
}

/** Into an empty folder. */
async function restore(copy: string, home: string): Promise<void> {
  await rm(home, { recursive: true });
  await cp(copy, home, { recursive: true });
}

const auditLines = async (home: string): Promise<string[]> =>
  (await readFile(path.join(home, "audit.jsonl"), "utf8")).trimEnd().split("\n");

/** Sites whose training of this round waits for the returned function. */
async function stage(heldRound: number): Promise<{ sites: TestSite[]; runs: AgentRun[]; go: () => void }> {
  let go: () => void = () => undefined;
  const gone = new Promise<void>((resolve) => (go = resolve));
  const sites: TestSite[] = [];
  const runs: AgentRun[] = [];
  for (const name of ["north", "south"]) {
    const site = await federation.site(name);
    sites.push(site);
    const trainer = arithmeticTrainer(1e-3, 1000, ({ round }) =>
      round === heldRound ? gone : Promise.resolve(),
    );
    runs.push(site.run(trainer));
  }
  await Promise.all(
    runs.map((run) => run.waitFor(({ phase, round }) => phase === "training" && round === heldRound)),
  );
  return { sites, runs, go };
}

describe.skipIf(!hasSqlite)(
  "a coordinator that is restored (skipped where there is no sqlite3 command)",
  () => {
    it("from a copy of the round under way goes on with it, and with the same audit log", async () => {
      federation = await TestFederation.start({ rounds: 3, minSites: 2 });
      const { runs, go } = await stage(2);
      const home = federation.coordinatorHome;
      const copy = path.join(federation.folder, "copy");
      await backUp(home, copy);
      const before = await auditLines(home);
      await federation.restartCoordinator(() => restore(copy, home));
      go();
      for (const { result } of runs) expect(await result).toMatchObject({ rounds: 3, contributions: 3 });
      const after = await auditLines(home);
      expect(after.length).toBeGreaterThan(before.length);
      expect(after.slice(0, before.length)).toEqual(before);
      expect(verifyChain(await readAuditLines(path.join(home, "audit.jsonl")))).toEqual({
        ok: true,
        lines: after.length,
      });
    });

    it("from an older copy is refused by sites that have signed more of its log, until someone there agrees", async () => {
      federation = await TestFederation.start({ rounds: 3, minSites: 2 });
      const { sites, runs, go } = await stage(2);
      const home = federation.coordinatorHome;
      const copy = path.join(federation.folder, "copy");
      await backUp(home, copy);
      go();
      for (const { result } of runs) await result;
      await federation.restartCoordinator(() => restore(copy, home));
      const again = () => sites.map((site) => site.run(arithmeticTrainer(1e-3)));
      for (const { result } of again())
        await expect(result).rejects.toMatchObject({ code: "audit.rewritten" });
      for (const { home: own } of sites) await rename(own.auditHeadsFile, `${own.auditHeadsFile}.before`);
      // Round 2 and 3, which the copy did not know.
      for (const { result } of again()) expect(await result).toMatchObject({ rounds: 3 });
    });
  },
);
