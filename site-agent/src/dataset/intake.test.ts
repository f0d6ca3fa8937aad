import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { approveIntake, assertApproved, readIntake, recordIntake } from "./intake.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-intake-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const key = (n: number): string => String(n).padStart(32, "0");
const found = (used: number, aside: number, minimumUsed = 0.8) => ({
  files: used + aside,
  used,
  quarantined: aside === 0 ? {} : { "dicom.truncated": aside },
  minimumUsed,
});
const waits = { code: "training.not-approved" };

it("lets training begin on a cache that no ingest has told of, and on folders that gave enough", async () => {
  await assertApproved(dir);
  expect((await recordIntake(dir, key(1), found(80, 20))).approvedShare).toBeNull();
  await assertApproved(dir);
});

it("stops training for one folder that gave too little, until it is approved or mended", async () => {
  await recordIntake(dir, key(1), found(100, 0));
  await recordIntake(dir, key(2), found(79, 21));
  await expect(assertApproved(dir)).rejects.toMatchObject({
    ...waits,
    detail: "(79 of 100 files are used, at least 80 % are wanted)",
  });
  await recordIntake(dir, key(2), found(80, 20));
  await assertApproved(dir);
});

it("keeps an approval for the share that it was given for, and not for less", async () => {
  await recordIntake(dir, key(1), found(50, 50));
  const { folders } = await approveIntake(dir);
  expect(folders).toMatchObject([{ used: 50, files: 100 }]);
  await assertApproved(dir);
  await recordIntake(dir, key(1), found(60, 60));
  await assertApproved(dir);
  expect((await approveIntake(dir)).folders).toEqual([]);
  await recordIntake(dir, key(1), found(49, 51));
  await expect(assertApproved(dir)).rejects.toMatchObject(waits);
});

it("counts neither second files of an image nor files that are not DICOM", async () => {
  const beside = { "dicom.duplicate": 30, "dicom.not-dicom": 20 };
  const folder = (truncated: number) => ({
    files: 100,
    used: 50 - truncated,
    quarantined: { ...beside, "dicom.truncated": truncated },
    minimumUsed: 0.8,
  });
  await recordIntake(dir, key(1), folder(10));
  await assertApproved(dir);
  await recordIntake(dir, key(1), folder(11));
  await expect(assertApproved(dir)).rejects.toMatchObject({
    ...waits,
    detail: "(39 of 50 files are used, at least 80 % are wanted)",
  });
});

it("takes a record that was altered by hand for damage, not for an approval", async () => {
  await writeFile(join(dir, "intake.json"), '{"version":1,"folders":{"x":{}}}');
  await expect(assertApproved(dir)).rejects.toMatchObject({ code: "cache.corrupt" });
  await expect(readIntake(dir)).rejects.toMatchObject({ code: "cache.corrupt" });
});
