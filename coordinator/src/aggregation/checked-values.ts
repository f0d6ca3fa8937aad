/** The values of a frame against the layout they should have, while they stream. */
import { ConsiliumError } from "@consilium/shared/errors";
import { elementCount, vectorLength, type Manifest } from "@consilium/shared/manifest";
import { firstNotFinite } from "./float-loops.ts";
import { headerAndFloats, type ByteSource } from "./float-stream.ts";

/** Consecutive values of a vector in manifest order, the first of them at `offset`. */
export interface Slice {
  readonly offset: number;
  readonly values: Float32Array;
}

export interface Frame {
  readonly source: ByteSource;
  readonly headerBytes: number;
  readonly manifest: Manifest;
  /** Called once, before the first value, if the header is not known already. */
  readonly assertHeader?: (header: Uint8Array) => void;
  /** Where the source holds no more than these elements; all of them unless given. */
  readonly stretch?: Stretch;
}

/** Elements `from` up to and without `to`. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

/**
 * Only a generator that ended has seen as many values as the layout, or the stretch, has.
 * @throws frame.wrong-length, vector.not-finite, and what `assertHeader` throws
 */
export async function* checkedValues(frame: Frame): AsyncGenerator<Slice, void, undefined> {
  const { source, headerBytes, manifest, assertHeader } = frame;
  const { from, to: expected } = frame.stretch ?? { from: 0, to: vectorLength(manifest) };
  let offset = from;
  for await (const part of headerAndFloats(source, headerBytes)) {
    if ("header" in part) {
      assertHeader?.(part.header);
      continue;
    }
    const { values } = part;
    if (offset + values.length > expected) throw new ConsiliumError("frame.wrong-length");
    const bad = firstNotFinite(values);
    if (bad >= 0) {
      throw new ConsiliumError("vector.not-finite", { culprits: [tensorAt(manifest, offset + bad)] });
    }
    yield { offset, values };
    offset += values.length;
  }
  if (offset !== expected) throw new ConsiliumError("frame.wrong-length");
}

/** Name of the tensor that holds the element at this index. */
function tensorAt(manifest: Manifest, index: number): string {
  let end = 0;
  for (const { name, shape } of manifest.tensors) {
    end += elementCount(shape);
    if (index < end) return name;
  }
  return "?";
}
