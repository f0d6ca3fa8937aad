/**
 * What fine-tuning made: `models/tasks/NAME.ckpt` with encoder and head together, and `NAME.json`, which says what it answers.
 * Apart from the encoders, so that neither is taken for the other. It never leaves the site by itself.
 */
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import { decodeCheckpoint, encodeCheckpoint, type Checkpoint } from "@consilium/shared/codec";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import { jsonOrNull } from "@consilium/shared/json";
import { labelTextSchema } from "@consilium/shared/label-text";
import { modelSchema } from "@consilium/shared/plan-schema";
import { z } from "zod";
import { DOWNSTREAM_MODES, DOWNSTREAM_TASKS } from "../downstream/types.ts";
import { listFolder, readIfPresent, readTextIfPresent, writeFileAtomic } from "./files.ts";
import type { Home } from "./home.ts";

const taskModelSchema = z.strictObject({
  schemaVersion: z.literal(1),
  task: z.enum(DOWNSTREAM_TASKS),
  /** Names in the order of the outputs. */
  classes: z.array(labelTextSchema).min(1),
  /** What makes masks of tokens; null for other tasks. */
  head: z.enum(["linear", "unetr"]).nullable(),
  /** The encoder's shape. */
  model: modelSchema,
  startedFrom: z.enum(["scratch", "own", "global"]),
  trained: z.enum(DOWNSTREAM_MODES),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type TaskModel = z.infer<typeof taskModelSchema>;

export async function storeTaskModel(
  home: Pick<Home, "folder">,
  name: string,
  about: Omit<TaskModel, "schemaVersion" | "sha256">,
  checkpoint: Checkpoint,
): Promise<Sha256> {
  const bytes = encodeCheckpoint(checkpoint);
  const hash = sha256(bytes);
  const model: TaskModel = { schemaVersion: 1, ...about, sha256: hash };
  await writeFileAtomic(file(home, name, "ckpt"), bytes);
  await writeFileAtomic(file(home, name, "json"), `${JSON.stringify(model, null, 2)}\n`);
  return hash;
}

/** @throws model.not-saved, hash.mismatch if one file is older than the other or damaged, frame.* */
export async function readTaskModel(
  home: Pick<Home, "folder">,
  name: string,
): Promise<{ readonly about: TaskModel; readonly checkpoint: Checkpoint }> {
  const bytes = await readIfPresent(file(home, name, "ckpt"));
  const text = await readTextIfPresent(file(home, name, "json"));
  if (bytes === null || text === null) {
    const there = await taskModelNames(home);
    const detail = there.length === 0 ? "(there is none)" : `(there are: ${there.join(", ")})`;
    throw new ConsiliumError("model.not-saved", { detail, culprits: [name] });
  }
  const parsed = taskModelSchema.safeParse(jsonOrNull(text));
  if (!parsed.success || parsed.data.sha256 !== sha256(bytes)) {
    throw new ConsiliumError("hash.mismatch", { culprits: [name] });
  }
  return { about: parsed.data, checkpoint: decodeCheckpoint(bytes) };
}

async function taskModelNames({ folder }: Pick<Home, "folder">): Promise<readonly string[]> {
  const files = await listFolder(path.join(folder, "models", "tasks"));
  return files.filter((one) => one.endsWith(".json")).map((one) => path.basename(one, ".json"));
}

const file = ({ folder }: Pick<Home, "folder">, name: string, ending: "ckpt" | "json"): string =>
  path.join(folder, "models", "tasks", `${name}.${ending}`);
