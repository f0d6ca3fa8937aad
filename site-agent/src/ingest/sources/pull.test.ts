import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pullKey } from "../../dataset/keys.ts";
import { DoneList } from "./done-list.ts";
import {
  pull,
  type PullOptions,
  type PullProgress,
  type PullRetry,
  type PullSource,
  type PullSummary,
} from "./pull.ts";
import { Spool } from "./spool.ts";

const secret = new Uint8Array(32).fill(3);
let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "consilium-pull-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** A PACS of numbered studies that fails as it is told; `asked` is what it was asked for, in order. */
function pacs(studies: readonly string[], failures: Record<string, ErrorCode[]> = {}) {
  const asked: string[] = [];
  const source: PullSource = {
    find: () => Promise.resolve(studies.map((study) => ({ study, series: null }))),
    retrieve: ({ study }) => {
      asked.push(study);
      const code = failures[study]?.shift();
      return code === undefined ? Promise.resolve() : Promise.reject(new ConsiliumError(code));
    },
  };
  return { source, asked };
}

async function run(source: PullSource, more: Partial<PullOptions> = {}): Promise<PullSummary> {
  const query = { modalities: [], from: null, to: null, matching: {}, level: "study" as const };
  const onRetry = (): void => undefined;
  const done = await DoneList.open(join(root, "cache"), "0".repeat(32));
  const options = {
    source,
    query,
    secret,
    done,
    again: false,
    onProgress: () => undefined,
    onRetry,
    ...more,
  };
  const ports = { random: (n: number) => new Uint8Array(n), sleep: () => Promise.resolve() };
  const spool = await Spool.open(join(root, "spool"), { maxBytes: 1000, minFreeBytes: 0 });
  return pull(options, spool, ports, new AbortController().signal);
}

const always = (code: ErrorCode): ErrorCode[] => Array.from({ length: 99 }, () => code);

describe("a pull", () => {
  it("fetches each study once, over several runs", async () => {
    const { source, asked } = pacs(["1.1", "1.2"]);
    expect(await run(source)).toMatchObject({ total: 2, done: 2, skipped: 0, failed: 0 });
    const more = pacs(["1.1", "1.2", "1.3"]);
    expect(await run(more.source)).toMatchObject({ total: 3, done: 3, skipped: 2, failed: 0 });
    expect([asked, more.asked]).toEqual([["1.1", "1.2"], ["1.3"]]);
    expect(await run(more.source, { again: true })).toMatchObject({ skipped: 0 });
  });

  it("tries again what may succeed later", async () => {
    const { source, asked } = pacs(["1.1"], { "1.1": ["pacs.failed", "pacs.unreachable"] });
    const retries: PullRetry[] = [];
    const onRetry = (retry: PullRetry): void => void retries.push(retry);
    expect(await run(source, { onRetry })).toMatchObject({ done: 1, failed: 0 });
    expect(asked).toEqual(["1.1", "1.1", "1.1"]);
    expect(retries).toEqual([
      { code: "pacs.failed", attempt: 2, of: 4 },
      { code: "pacs.unreachable", attempt: 3, of: 4 },
    ]);
  });

  it("goes on after a study that fails, names it by its HMAC, and asks for it in the next run", async () => {
    const seen: PullProgress[] = [];
    const { source, asked } = pacs(["1.1", "1.2", "1.3"], {
      "1.1": always("pacs.failed"),
      "1.2": ["pacs.invalid"],
    });
    const summary = await run(source, { onProgress: (progress) => void seen.push(progress) });
    expect(summary.failures).toEqual([
      { key: pullKey(secret, "1.1"), code: "pacs.failed" },
      { key: pullKey(secret, "1.2"), code: "pacs.invalid" },
    ]);
    expect(asked).toEqual(["1.1", "1.1", "1.1", "1.1", "1.2", "1.3"]);
    expect(seen.at(-1)).toEqual({ total: 3, done: 3, skipped: 0, failed: 2 });
    const mended = pacs(["1.1", "1.2", "1.3"]);
    await run(mended.source);
    expect(mended.asked).toEqual(["1.1", "1.2"]);
  });

  it("ends where the next study would fare no better, and keeps what it has", async () => {
    for (const code of ["pacs.unreachable", "pacs.refused", "pacs.untrusted"] as const) {
      const { source } = pacs(["2.1", "2.2", "2.3"], { "2.2": always(code) });
      await expect(run(source)).rejects.toMatchObject({ code });
    }
    const { source, asked } = pacs(["2.1", "2.2", "2.3"]);
    expect(await run(source)).toMatchObject({ skipped: 1 });
    expect(asked).toEqual(["2.2", "2.3"]);
  });
});
