/** Damaged files: `test/fuzz/decode.ts` does the same with ten thousand. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { generator, mutate, seedFiles } from "../testing/mutate.ts";
import { DecodePool } from "./decode-pool.ts";

let folder: string;
let pool: DecodePool;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "consilium-damaged-"));
  pool = new DecodePool({ threads: 1, timeoutMs: 1500 });
});
afterAll(async () => {
  await pool.close();
  await rm(folder, { recursive: true, force: true });
});

const BYTES = { uint8: 1, int8: 1, uint16: 2, int16: 2, uint32: 4, int32: 4 } as const;

it(
  "damaged files end with a code, or with exactly as many values as they say",
  { timeout: 60_000 },
  async () => {
    const seeds = await seedFiles();
    const next = generator(7);
    const path = join(folder, "damaged.dcm");
    const codes = new Set<string>();
    let decoded = 0;
    for (let i = 0; i < 300; i++) {
      const seed = seeds[i % seeds.length];
      await writeFile(path, mutate(seed?.bytes ?? new Uint8Array(0), next));
      try {
        const report = await pool.decode({ path, raw: null, expandPalette: true });
        const { rows, columns, samples, frames, dtype, bytes } = report;
        expect(bytes, `file ${i}`).toBe(rows * columns * samples * frames * BYTES[dtype]);
        expect(report.perFrame).toHaveLength(frames);
        decoded += 1;
      } catch (error) {
        expect(error, `file ${i}`).toMatchObject({
          code: expect.stringMatching(
            /^dicom\.(not-dicom|truncated|no-pixels|unsupported|decode-failed|wrong-size)$/,
          ) as string,
        });
        codes.add((error as { code: string }).code);
      }
    }
    // Not every damage shows, and not every one is the same.
    expect(decoded).toBeGreaterThan(30);
    expect(codes.size).toBeGreaterThan(3);
  },
);
