import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { CacheWriter } from "../dataset/cache-writer.ts";
import { CacheIntake } from "./cache-intake.ts";

const key = (n: number): string => n.toString(16).padStart(32, "0");

it("does not count an image as received and used that a damaged cache has lost", async () => {
  const cacheDir = await mkdtemp(join(tmpdir(), "consilium-intake-"));
  try {
    const writer = await CacheWriter.open(cacheDir, 4);
    const record = { modality: "CR", view: null, bodyPart: null, rows: 4, columns: 4, patient: key(9) };
    await writer.append({ image: key(1), ...record }, new Uint8Array(16));
    await writer.commit();
    await writer.close();
    const lines = [1, 2].map((n) => `${JSON.stringify({ key: key(n), outcome: "used" })}\n`);
    await writeFile(join(cacheDir, `received-${key(7)}.jsonl`), lines.join(""));
    const source = { kind: "received", key: key(7) } as const;
    const options = { cacheDir, secret: new Uint8Array(32), sizePx: 4, threads: 1 };
    const intake = await CacheIntake.open(options, source);
    expect(intake.tally.used).toBe(1);
    await intake.close();
  } finally {
    await rm(cacheDir, { recursive: true, force: true });
  }
});
