import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import type { FederationId } from "@consilium/shared/ids";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { receiptsFile, type Receipt } from "./receipts.ts";

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-receipts-"));
  file = path.join(folder, "receipts.jsonl");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const receipt = (round: number): Receipt => ({
  at: "2026-01-01T00:00:00.000Z",
  federation: "lungs" as FederationId,
  kind: "contribution",
  state: "sending",
  round,
  attempt: 1,
  bytes: 10,
  sha256: sha256(String(round)),
});

const three = [1, 2, 3].map(receipt);

async function writeThree(): Promise<string[]> {
  // Also when they are added at once.
  const receipts = receiptsFile(file);
  await Promise.all(three.map((each) => receipts.add(each)));
  return (await readFile(file, "utf8")).split("\n");
}

describe("receipts", () => {
  it("come back in order, and from an absent file none", async () => {
    expect(await receiptsFile(file).list()).toEqual([]);
    await writeThree();
    expect(await receiptsFile(file).list()).toEqual(three);
  });

  it("hold approvals among what left, in the same chain", async () => {
    const { sha256: hash } = receipt(9);
    const approval = {
      at: "2026-01-01T00:00:00.000Z",
      kind: "approval",
      cache: "train",
      files: 10,
      used: 5,
      sha256: hash,
    } as const;
    const receipts = receiptsFile(file);
    await receipts.add(receipt(1));
    await receipts.add(approval);
    await receipts.add(receipt(2));
    expect(await receipts.list()).toEqual([receipt(1), receipt(2)]);
    expect(await receipts.entries()).toEqual([receipt(1), approval, receipt(2)]);
    await writeFile(file, (await readFile(file, "utf8")).replace('"used":5', '"used":9'));
    await expect(receipts.list()).rejects.toMatchObject({ code: "receipts.broken" });
  });

  it("show that a line was changed", async () => {
    const lines = await writeThree();
    lines[0] = lines[0]?.replace('"bytes":10', '"bytes":11') ?? "";
    await writeFile(file, lines.join("\n"));
    await expect(receiptsFile(file).list()).rejects.toMatchObject({ code: "receipts.broken" });
  });

  it("show that a line was taken out", async () => {
    const lines = await writeThree();
    await writeFile(file, lines.toSpliced(1, 1).join("\n"));
    await expect(receiptsFile(file).list()).rejects.toMatchObject({ code: "receipts.broken" });
  });

  it("drop the line that a crash left unfinished, and go on", async () => {
    await writeThree();
    await appendFile(file, '{"at":"2026');
    const receipts = receiptsFile(file);
    expect(await receipts.list()).toEqual(three);
    await receipts.add(receipt(4));
    expect(await receipts.list()).toEqual([...three, receipt(4)]);
  });
});
