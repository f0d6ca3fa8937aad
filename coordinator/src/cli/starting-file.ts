/** A file that a plan is to start from: what it is, and whether it can be an encoder of the plan's size at all. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { ENCODER_WIDTHS } from "@consilium/shared/encoder-sizes";
import { ConsiliumError } from "@consilium/shared/errors";
import { sha256Schema } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import type { StartPlan } from "@consilium/shared/start-schema";
import { z } from "zod";
import { readCheckpointHead } from "../aggregation/checkpoint-stream.ts";
import type { StartingFile } from "../governance/starting-model.ts";

const CHECKPOINT_MAGIC = "CSLM";
/** Of safetensors: the header's length, as a 64-bit integer. */
const PREFIX_BYTES = 8;
/** The limit of the format's reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;
/** As timm, facebookresearch/mae and we name it, and as Hugging Face does; a decoder's is another matter. */
const FIRST_NORM = /(?:^|\.)(?:blocks|layer)\.0\.(?:norm1|layernorm_before)\.weight$/;

type Shapes = ReadonlyMap<string, readonly number[]>;

/** @throws config.invalid if it cannot be read */
export async function openStartingFile(file: string): Promise<StartingFile> {
  const read = (): AsyncIterable<Uint8Array> => createReadStream(file);
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    for await (const piece of read()) {
      hash.update(piece);
      bytes += piece.length;
    }
  } catch (cause) {
    const detail = "(the file to start from cannot be read)";
    throw new ConsiliumError("config.invalid", { detail, culprits: ["startFrom"], cause });
  }
  return { sha256: sha256Schema.parse(hash.digest("hex")), bytes, read };
}

export interface LookedAt {
  /** What the plan says of it. */
  readonly plan: Omit<StartPlan, "origin">;
  /**
   * That every weight fits, each site finds out; what would be in vain for all is found here.
   * @throws weights.foreign, start.unfit
   */
  readonly assertFits: (model: Plan["model"]) => void;
}

/** @throws weights.unreadable, frame.* */
export async function lookAtStart({ sha256, bytes, read }: StartingFile): Promise<LookedAt> {
  const first = await firstBytes(read(), PREFIX_BYTES);
  const isCheckpoint = Buffer.from(first).toString("latin1").startsWith(CHECKPOINT_MAGIC);
  const shapes = isCheckpoint ? await checkpointShapes(read()) : await safetensorsShapes(first, read());
  return {
    plan: { sha256, bytes, format: isCheckpoint ? "checkpoint" : "safetensors" },
    assertFits: (model) => {
      assertFits(shapes, model, isCheckpoint);
    },
  };
}

function assertFits(shapes: Shapes, model: Plan["model"], isCheckpoint: boolean): void {
  const width = ENCODER_WIDTHS[model.size];
  const norm = [...shapes.keys()].find((name) => FIRST_NORM.test(name) && !name.includes("decoder"));
  if (norm === undefined) throw new ConsiliumError("weights.foreign", { detail: "(no Vision Transformer)" });
  assertShape(shapes, norm, [width]);
  // Of other programs' files the projection is adapted to the plan's patches and channels.
  const { patchPx, patchDepthPx, channels } = model;
  if (isCheckpoint) {
    assertShape(shapes, "patch_embed.proj.weight", [patchDepthPx * patchPx ** 2 * channels, width]);
  }
}

function assertShape(shapes: Shapes, name: string, wanted: readonly number[]): void {
  const shape = shapes.get(name) ?? [];
  if (shape.join() === wanted.join()) return;
  throw new ConsiliumError("start.unfit", {
    detail: `${name} ([${shape.join(", ")}], and the plan's is [${wanted.join(", ")}])`,
    culprits: [name],
  });
}

async function checkpointShapes(source: AsyncIterable<Uint8Array>): Promise<Shapes> {
  const { manifest } = await readCheckpointHead(source);
  return new Map(manifest.tensors.map(({ name, shape }) => [name, shape]));
}

const entriesSchema = z.record(z.string(), z.looseObject({ shape: z.array(z.int().min(0)).optional() }));

async function safetensorsShapes(prefix: Uint8Array, source: AsyncIterable<Uint8Array>): Promise<Shapes> {
  const headerBytes = prefix.length < PREFIX_BYTES ? 0 : Number(Buffer.from(prefix).readBigUInt64LE());
  if (headerBytes < 2 || headerBytes > MAX_HEADER_BYTES) throw unreadable();
  const head = Buffer.from(await firstBytes(source, PREFIX_BYTES + headerBytes));
  let json: unknown;
  try {
    json = JSON.parse(head.subarray(PREFIX_BYTES).toString("utf8"));
  } catch (cause) {
    throw unreadable(cause);
  }
  const entries = entriesSchema.safeParse(json);
  if (!entries.success) throw unreadable();
  return new Map(Object.entries(entries.data).map(([name, { shape = [] }]) => [name, shape]));
}

const unreadable = (cause?: unknown): ConsiliumError =>
  new ConsiliumError("weights.unreadable", { detail: "(header)", cause });

/** As many as there are, up to `length`. */
async function firstBytes(source: AsyncIterable<Uint8Array>, length: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of source) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes >= length) break;
  }
  return Buffer.concat(pieces).subarray(0, length);
}
