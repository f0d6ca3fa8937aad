/** A site as a witness, before a coordinator that holds several logs and signs the end of each with its own key. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { chain, EMPTY_CHAIN, linkOf, type AuditLine } from "@consilium/shared/audit/chain";
import { createIdentity, sign, type Identity } from "@consilium/shared/crypto/identity";
import { federationIdSchema, siteIdSchema } from "@consilium/shared/ids";
import type { AuditLink, AuditShown } from "@consilium/shared/protocol/governance";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { httpClient, type Fetch } from "../federation/http.ts";
import { AuditWitness, witnessedHeads } from "./audit-witness.ts";

const federation = federationIdSchema.parse("lungs");
const identityOf = (byte: number): Identity => createIdentity((length) => new Uint8Array(length).fill(byte));
const coordinator = identityOf(1);
const mallory = identityOf(2);
const site = { federation, site: siteIdSchema.parse("a"), identity: identityOf(3) };

/** A log of so many lines, which says something else from line `forkedAt` on. */
function logOf(lines: number, forkedAt = Infinity): readonly AuditLine[] {
  const log: AuditLine[] = [];
  for (let line = 1; line <= lines; line++) {
    const data = { line, told: line >= forkedAt ? "otherwise" : "so" };
    const event = { at: "2026-01-02T03:04:05.000Z", federation, event: "round.opened", data };
    log.push(chain(log.at(-1) ?? EMPTY_CHAIN, event));
  }
  return log;
}

interface Face {
  readonly log: readonly AuditLine[];
  readonly round: number;
  readonly signer?: Identity;
  readonly federation?: string;
  /** What becomes of the links on their way. */
  readonly links?: (links: readonly AuditLink[]) => readonly AuditLink[];
}

const asTheyAre = (links: readonly AuditLink[]): readonly AuditLink[] => links;

/** The answer that a coordinator with this face gives to a site that knows the lines up to `after`. */
function answerOf(face: Face | null, after: number | null): AuditShown {
  const last = face?.log.at(-1);
  if (face === null || last === undefined) return { head: null, links: [] };
  const { log, round, signer = coordinator, links = asTheyAre } = face;
  const body = { federation: federationIdSchema.parse(face.federation ?? federation), round };
  return {
    head: sign("audit-head", { ...body, seq: last.seq, hash: last.hash }, signer),
    links: after === null ? [] : links(log.slice(after).map(linkOf)),
  };
}

let folder: string;
let file: string;
let face: Face | null;
let signatures: number;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-witness-"));
  file = path.join(folder, "audit-heads.jsonl");
  signatures = 0;
});
afterEach(() => rm(folder, { recursive: true }));

const fetchFromFace: Fetch = (input, init) => {
  if (init?.method === "POST") signatures += 1;
  const url = new URL(input instanceof Request ? input.url : input);
  const after = url.searchParams.get("after");
  const reply = init?.method === "POST" ? {} : answerOf(face, after === null ? null : Number(after));
  return Promise.resolve(Response.json(reply));
};

/** As after a start of the agent: it knows what is on disk. */
const witness = (): AuditWitness =>
  new AuditWitness(
    {
      http: httpClient("http://coordinator.example/", fetchFromFace),
      heads: witnessedHeads(file),
      receipts: { add: () => Promise.resolve() },
      nowMs: () => 0,
    },
    { ...site, coordinator: coordinator.public },
  );

const countersign = (shown: Face | null): Promise<void> => {
  face = shown;
  return witness().countersign("session");
};
const rounds = async (): Promise<readonly number[]> =>
  (await witnessedHeads(file).of(federation)).map(({ round }) => round);

it("each head that grows out of the last is signed, once, and kept", async () => {
  await countersign(null);
  await countersign({ log: logOf(4), round: 1 });
  await countersign({ log: logOf(9), round: 2 });
  // Given again after a start, as the signature may not have arrived; not kept again.
  await countersign({ log: logOf(9), round: 2 });
  expect(await rounds()).toEqual([1, 2]);
  expect(signatures).toBe(3);
});

describe("a coordinator that shows a site another log than before", () => {
  const BEFORE: Face = { log: logOf(6), round: 1 };
  const faces: Readonly<Record<string, Face | null>> = {
    "another head of the same length": { log: logOf(6, 5), round: 1 },
    "a longer log that differs in the last line signed": { log: logOf(9, 6), round: 2 },
    "a longer log that differs in its first line": { log: logOf(9, 1), round: 2 },
    "a shorter log": { log: logOf(5), round: 2 },
    "no head at all any more": null,
    "the same head as another round's": { log: logOf(6), round: 2 },
    "a longer log as the end of the same round": { log: logOf(9), round: 1 },
    "a head without the way to it": { log: logOf(9), round: 2, links: () => [] },
    "a way with a line left out": { log: logOf(9), round: 2, links: (all) => all.toSpliced(1, 1) },
    "a way past the head": {
      log: logOf(9),
      round: 2,
      links: () => logOf(12).slice(6).map(linkOf),
    },
    "a way that leads to another head": {
      log: logOf(9, 8),
      round: 2,
      links: () => logOf(9).slice(6).map(linkOf),
    },
    "another federation's head": { log: logOf(9), round: 2, federation: "hearts" },
  };

  it.each(Object.entries(faces))("is noticed, before anything is signed: %s", async (_, shown) => {
    await countersign(BEFORE);
    await expect(countersign(shown)).rejects.toMatchObject({ code: "audit.rewritten" });
    expect(await rounds()).toEqual([1]);
    expect(signatures).toBe(1);
    // It is no lasting harm where the old log comes back.
    await countersign({ log: logOf(9), round: 2 });
    expect(await rounds()).toEqual([1, 2]);
  });

  it("is noticed under another key as well", async () => {
    await countersign(BEFORE);
    const forged = { log: logOf(9), round: 2, signer: mallory };
    await expect(countersign(forged)).rejects.toMatchObject({ code: "crypto.bad-signature" });
    expect(signatures).toBe(1);
  });

  it("is noticed wherever the logs part, unless it is after what was signed", async () => {
    const line = fc.integer({ min: 1, max: 12 });
    await fc.assert(
      fc.asyncProperty(line, line, line, async (signed, more, forkedAt) => {
        await rm(file, { force: true });
        await countersign({ log: logOf(signed), round: 1 });
        const grown = countersign({ log: logOf(signed + more, forkedAt), round: 2 });
        if (forkedAt > signed) await grown;
        else await expect(grown).rejects.toMatchObject({ code: "audit.rewritten" });
      }),
      { numRuns: 25 },
    );
  });
});

describe("the record of what was signed", () => {
  const damages: Readonly<Record<string, (lines: readonly string[]) => readonly string[]>> = {
    "a line was changed (line 2)": (lines) => lines.map((line) => line.replace('"round":1', '"round":7')),
    "the first line was taken out (line 1)": (lines) => lines.slice(1),
    "a line in the middle was taken out (line 2)": (lines) => lines.toSpliced(1, 1),
    "two lines were exchanged (line 1)": ([first = "", second = "", ...rest]) => [second, first, ...rest],
    "a line is no JSON (line 3)": (lines) => lines.toSpliced(2, 1, "CANARY"),
  };

  it.each(Object.entries(damages))(
    "is refused where %s, and nothing is signed on it",
    async (what, damage) => {
      for (const round of [1, 2, 3]) await countersign({ log: logOf(3 * round), round });
      const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
      await writeFile(file, `${damage(lines).join("\n")}\n`);
      const detail = /\(line \d\)/.exec(what)?.[0];
      await expect(countersign({ log: logOf(12), round: 4 })).rejects.toMatchObject({
        code: "audit.witness-broken",
        detail,
      });
      expect(signatures).toBe(3);
    },
  );

  it("that a crash left unfinished is completed: what half a line announced was never signed", async () => {
    await countersign({ log: logOf(3), round: 1 });
    const whole = await readFile(file, "utf8");
    await writeFile(file, whole + whole.slice(0, 40));
    await countersign({ log: logOf(6), round: 2 });
    expect(await rounds()).toEqual([1, 2]);
  });
});
