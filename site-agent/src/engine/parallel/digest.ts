/** Whether two threads hold the same weights, without sending them. */
import { createHash } from "node:crypto";

/** Differs where a single bit does. */
export const digestOf = (values: Float32Array): string =>
  createHash("sha256")
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest("hex");
