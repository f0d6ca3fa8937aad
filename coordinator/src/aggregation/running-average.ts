/**
 * The exponential moving average of the global models (Polyak averaging; Kingma and Ba 2015, section 7.2), without the bias
 * towards its beginning: after t models the newest has the weight 1 / (1 + d + ... + d^(t-1)), as if Adam's correction had
 * been applied. Works by +, -, * and / alone and rounds to float32 once, so that the same rounds give the same bits anywhere.
 */
import type { Sha256 } from "@consilium/shared/ids";
import { vectorLength } from "@consilium/shared/manifest";
import type { Blobs } from "../blobs/blobs.ts";
import { OWN, readHashed } from "../blobs/hashed.ts";
import { checkpointValues, type CheckpointHead } from "./checkpoint-stream.ts";
import { toBytes } from "./float-stream.ts";
import { abreast } from "./update-set.ts";

export interface AverageJob {
  readonly decay: number;
  /** The average up to the round's base; of one model that is the model. */
  readonly before: Sha256;
  /** How many models are in it, with the one that is made. */
  readonly models: number;
}

/** @throws hash.mismatch, naming OWN, if an object has changed on the disk */
export async function writeAverage(
  { decay, before, models }: AverageJob,
  model: Sha256,
  blobs: Blobs,
  head: CheckpointHead,
): Promise<Sha256> {
  const weight = newestWeight(decay, models);
  async function* averaged(): AsyncGenerator<Uint8Array, void, undefined> {
    yield head.header;
    const length = vectorLength(head.manifest);
    const read = (i: number) => checkpointValues(readHashed(blobs, i === 0 ? before : model, OWN), head);
    for await (const { rows } of abreast({ length, examples: [1, 1], read })) {
      const [old, newest] = rows;
      yield toBytes(
        Float32Array.from(old ?? [], (value, i) => value + weight * ((newest?.[i] ?? NaN) - value)),
      );
    }
  }
  const { sha256 } = await blobs.write(averaged());
  return sha256;
}

/** 1 of one model; tends to 1 - decay. */
export function newestWeight(decay: number, models: number): number {
  let sum = 0;
  let power = 1;
  for (let i = 0; i < models; i++) {
    sum += power;
    power *= decay;
  }
  return 1 / sum;
}
