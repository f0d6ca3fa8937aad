import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePlan } from "@consilium/shared/plan";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readTaskModel, storeTaskModel } from "./task-models.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "consilium-task-models-"));
});
afterAll(() => rm(folder, { recursive: true }));

const about = {
  task: "segmentation" as const,
  classes: ["lungs"],
  head: "unetr" as const,
  // As a plan gives it, with all that it says of volumes.
  model: parsePlan({ federation: "lungs", title: "Lungs", rounds: 1 }).model,
  startedFrom: "global" as const,
  trained: "finetune" as const,
};
const checkpoint = {
  manifest: { tensors: [{ name: "head.weight", shape: [2, 2], dtype: "float32" as const }] },
  values: Float32Array.of(1, 2, 3, 4),
};

it("reads back what was kept, and nothing else", async () => {
  const sha256 = await storeTaskModel({ folder }, "lungs", about, checkpoint);
  const read = await readTaskModel({ folder }, "lungs");
  expect(read.about).toEqual({ schemaVersion: 1, ...about, sha256 });
  expect(read.checkpoint).toEqual(checkpoint);
  await expect(readTaskModel({ folder }, "hearts")).rejects.toMatchObject({
    code: "model.not-saved",
    detail: expect.stringMatching(/^\(there (is none|are: lungs)\)$/) as string,
  });
});

it("refuses a network that its description does not belong to", async () => {
  await storeTaskModel({ folder }, "torn", about, checkpoint);
  const torn = { ...checkpoint, values: Float32Array.of(5, 6, 7, 8) };
  await storeTaskModel({ folder }, "other", about, torn);
  await writeFile(
    join(folder, "models", "tasks", "torn.ckpt"),
    await readFile(join(folder, "models", "tasks", "other.ckpt")),
  );
  await expect(readTaskModel({ folder }, "torn")).rejects.toMatchObject({ code: "hash.mismatch" });
});
