import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import type { Signed } from "@consilium/shared/crypto/signed";
import type { Attempt, FederationId, Round, SiteId } from "@consilium/shared/ids";
import type { ContributionHeader, RoundOpening } from "@consilium/shared/protocol/round";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { OptimizerState } from "../engine/types.ts";
import { decodeState, encodeState } from "./optimizer-file.ts";
import { outboxFolder, readHead, type Outbox } from "./outbox.ts";

let folder: string;
let outbox: Outbox;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-outbox-"));
  outbox = outboxFolder(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const planHash = sha256("plan");
const opening = (round: number, attempt = 1): RoundOpening => ({
  federation: "lungs" as FederationId,
  round: round as Round,
  attempt: attempt as Attempt,
  base: sha256(`base ${round}`),
  planHash,
  cohort: [],
});

const sealed = new Uint8Array([1, 2, 3]);

function headerFor(round: number, attempt: number): Signed<ContributionHeader> {
  const { federation, base } = opening(round, attempt);
  return {
    body: {
      federation,
      round: round as Round,
      attempt: attempt as Attempt,
      base,
      planHash,
      site: "st-mary" as SiteId,
      manifestHash: sha256("manifest"),
      examples: 1,
      metrics: { loss: 1, finalLoss: 1, steps: 1, updateNorm: 1, trainingMs: 1 },
      sealedSha256: sha256(sealed),
      sealedBytes: sealed.length,
    },
    signature: "A".repeat(86),
  };
}

const moments = (step: number): OptimizerState => ({
  step,
  firstMoment: new Float32Array([step]),
  secondMoment: new Float32Array([step]),
});

/** What training and sealing a round does to the disk. @returns the step of the moments that it started from */
async function trainAndSeal(
  round: number,
  attempt = 1,
  kept: Float32Array | null = null,
): Promise<number | null> {
  const before = await outbox.prepare(opening(round, attempt));
  await outbox.write({
    header: headerFor(round, attempt),
    sealed,
    state: { moments: moments((before?.moments?.step ?? 0) + 1), kept },
  });
  return before?.moments?.step ?? null;
}

describe("the outbox", () => {
  it("gives back what was sealed, also to a later run", async () => {
    await trainAndSeal(1);
    const again = outboxFolder(folder);
    expect(await again.read()).toEqual(headerFor(1, 1));
    const source = await again.source();
    expect([...(await source.read(0, 3))]).toEqual([...sealed]);
    await source.close();
  });

  it("does not send half of what was written", async () => {
    await trainAndSeal(1);
    await truncate(path.join(folder, "outbox", "sealed.bin"), 2);
    expect(await outbox.read()).toBeNull();
  });

  it("carries moments from round to round", async () => {
    expect([await trainAndSeal(1), await trainAndSeal(2), await trainAndSeal(3)]).toEqual([null, 1, 2]);
  });

  it("starts another attempt from the moments that the first started from", async () => {
    await trainAndSeal(1);
    expect(await trainAndSeal(2, 1)).toBe(1);
    expect(await trainAndSeal(2, 2)).toBe(1);
    expect(await trainAndSeal(3, 1)).toBe(2);
  });

  it("does not use the moments of another plan", async () => {
    await trainAndSeal(1);
    expect(await outbox.prepare({ ...opening(2), planHash: sha256("another plan") })).toBeNull();
  });

  it("keeps the site's own weights beside them, and of these alone what the federation leaves at its end", async () => {
    const at = (value: number): Float32Array => new Float32Array([value, -value]);
    await trainAndSeal(1, 1, at(1));
    await trainAndSeal(2, 1, at(2));
    expect((await outbox.prepare(opening(2, 2)))?.kept).toEqual(at(1));
    expect((await outbox.prepare(opening(3)))?.kept).toEqual(at(2));
    expect(await readHead(folder, planHash)).toBeNull();
    await outbox.clear();
    await outbox.clear();
    expect(await readHead(folder, planHash)).toEqual(at(2));
    expect(await readHead(folder, sha256("another plan"))).toBeNull();
    expect(await outbox.prepare(opening(3))).toBeNull();
    await outbox.keep({ planHash, round: 3 as Round, attempt: 1 as Attempt }, { moments: null, kept: at(3) });
    expect(await outbox.prepare(opening(4))).toEqual({ moments: null, kept: at(3) });
    await writeFile(path.join(folder, "head.bin"), "damaged");
    expect(await readHead(folder, planHash)).toBeNull();
  });

  it("counts damaged moments as none", async () => {
    await trainAndSeal(1);
    await writeFile(path.join(folder, "outbox", "moments.bin"), "damaged");
    expect(await outbox.prepare(opening(2))).toBeNull();
  });
});

const origin = { planHash, round: 1 as Round, attempt: 1 as Attempt };

describe("what training leaves, on disk", () => {
  it("comes back bit by bit", () => {
    fc.assert(
      fc.property(
        fc.float32Array({ maxLength: 50 }),
        fc.float32Array({ maxLength: 50 }),
        fc.option(fc.float32Array({ minLength: 1, maxLength: 9 })),
        fc.integer({ min: 1 }),
        (a, b, kept, step) => {
          const length = Math.min(a.length, b.length);
          const found = { step, firstMoment: a.subarray(0, length), secondMoment: b.subarray(0, length) };
          const state = { moments: found, kept };
          const decoded = decodeState(Buffer.concat(encodeState(origin, state) ?? []));
          expect(decoded).toEqual({ ...origin, state });
        },
      ),
    );
  });

  it("is refused when a single bit has changed or the file was cut", () => {
    const kept = new Float32Array([7]);
    const bytes = Buffer.concat(encodeState(origin, { moments: moments(3), kept }) ?? []);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const changed = Buffer.from(bytes);
        changed.writeUInt8(changed.readUInt8(at) ^ (1 << bit), at);
        expect(decodeState(changed)).toBeNull();
        expect(decodeState(bytes.subarray(0, at))).toBeNull();
      }),
    );
  });
});
