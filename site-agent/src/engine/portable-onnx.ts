/** A forward pass as an ONNX model for other programs: standard operators alone, weights inside, inputs under their own names. */
import { ConsiliumError } from "@consilium/shared/errors";
import { optimize } from "./graph/passes/optimize.ts";
import { standardOperators } from "./graph/passes/standard-operators.ts";
import { writeOnnx } from "./graph/onnx.ts";
import { sizeOf } from "./graph/ir.ts";
import { named } from "./program.ts";
import { trace } from "./tracer/trace.ts";
import type { InferenceDefinition, InputSpecs, InputTensors } from "./types.ts";

/** Protocol buffers are read whole, by readers that count bytes in 31 bits. */
const MAX_BYTES = 2 ** 31 - 1;

/**
 * @param weights flat, in the order of the definition's parameters
 * @param metadata goes into the model's `metadata_props`
 * @throws frame.wrong-length if there are not as many weights, engine.unsupported-op
 */
export function portableOnnx<I extends InputSpecs>(
  definition: InferenceDefinition<I>,
  weights: Float32Array,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const initializers = new Map<string, Float32Array>();
  let offset = 0;
  for (const { name, shape } of definition.parameters) {
    initializers.set(name, weights.subarray(offset, (offset += sizeOf(shape))));
  }
  if (offset !== weights.length || 4 * offset > MAX_BYTES) throw new ConsiliumError("frame.wrong-length");

  const parameters = Object.fromEntries(
    definition.parameters.map(({ name, shape }) => [name, { shape, dtype: "float32" as const }]),
  );
  const graph = trace({ ...definition.inputs, ...parameters }, (tensors) => {
    const pick = (names: readonly string[]) => names.map((name) => [name, named(tensors, name)] as const);
    const inputs = Object.fromEntries(pick(Object.keys(definition.inputs))) as InputTensors<I>;
    return definition.forward(new Map(pick(Object.keys(parameters))), inputs);
  });
  return writeOnnx(standardOperators(optimize(graph)), { initializers, metadata });
}
