/** The largest magnitude in each tensor of a checkpoint, from which the ranges of masked updates follow. */
import type { Sha256 } from "@consilium/shared/ids";
import { elementCount } from "@consilium/shared/manifest";
import type { TensorMagnitude } from "@consilium/shared/secagg/ranges";
import { largestMagnitude } from "@consilium/shared/vector";
import type { Blobs } from "../blobs/blobs.ts";
import { checkpointValues, readCheckpointHead } from "./checkpoint-stream.ts";

/** @throws frame.*, vector.not-finite, blob.unknown */
export async function readMagnitudes(blobs: Blobs, checkpoint: Sha256): Promise<readonly TensorMagnitude[]> {
  const head = await readCheckpointHead(blobs.read(checkpoint));
  let end = 0;
  const tensors = head.manifest.tensors.map(({ name, shape }) => {
    end += elementCount(shape);
    return { name, shape, end, largest: 0 };
  });
  let at = 0;
  for await (const { offset, values } of checkpointValues(blobs.read(checkpoint), head)) {
    const sliceEnd = offset + values.length;
    for (let from = offset; from < sliceEnd;) {
      while (from >= (tensors[at]?.end ?? Infinity)) at++;
      const tensor = tensors[at];
      const to = Math.min(sliceEnd, tensor?.end ?? sliceEnd);
      const largest = largestMagnitude(values.subarray(from - offset, to - offset));
      if (tensor !== undefined) tensor.largest = Math.max(tensor.largest, largest);
      from = to;
    }
  }
  return tensors.map(({ name, shape, largest }) => ({ name, shape, largest }));
}
