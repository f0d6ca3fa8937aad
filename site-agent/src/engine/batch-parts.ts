/** A batch in equal parts, one after the other or on several devices. */
import { ConsiliumError } from "@consilium/shared/errors";
import { sizeOf } from "./graph/ir.ts";
import type { InputArrays, InputSpecs } from "./types.ts";

/**
 * Views of the whole batch's arrays, in order.
 * @param specs the inputs of one part
 * @throws engine.run-failed if an input is not as long as all its parts
 */
export function cutBatch<I extends InputSpecs>(
  specs: I,
  inputs: InputArrays<I>,
  count: number,
): InputArrays<I>[] {
  return Array.from({ length: count }, (_, i) => {
    const part = Object.entries(specs).map(([name, { shape }]) => {
      const whole = inputs[name];
      const length = sizeOf(shape);
      if (whole?.length !== count * length) {
        const detail = `(${name} holds ${whole?.length ?? 0} elements instead of ${count} times [${shape.join(", ")}])`;
        throw new ConsiliumError("engine.run-failed", { detail, culprits: [name] });
      }
      return [name, whole.subarray(i * length, (i + 1) * length)];
    });
    return Object.fromEntries(part) as InputArrays<I>;
  });
}
