/** What values and operators mean in bytes. */
import { sizeOf, type Dtype, type Node, type Value } from "./ir.ts";

const ELEMENT_BYTES: Readonly<Record<Dtype, number>> = {
  float32: 4,
  float16: 2,
  int32: 4,
  int64: 8,
  uint8: 1,
  bool: 1,
};

export const byteLength = ({ shape, dtype }: Value): number => sizeOf(shape) * ELEMENT_BYTES[dtype];

/** These hand on the memory of their first input. */
export const SHARES_MEMORY = new Set(["Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten"]);

/** These may write over an input of the same size that nothing else needs. */
export const IN_PLACE = new Set([
  ...["Add", "Sub", "Mul", "Div", "Sqrt", "Exp", "Neg", "Erf", "Tanh", "Sigmoid", "Relu", "Abs", "Log"],
  ...["Reciprocal", "Softmax", "Clip", "Cast"],
]);

/** Which value's memory a value lies in: its own, or that of what it is another shape of. */
export function memoryOwners(nodes: readonly Node[]): (value: Value) => Value {
  const owners = new Map<Value, Value>();
  for (const { op, inputs, outputs } of nodes) {
    const [source] = inputs;
    const [output] = outputs;
    if (!SHARES_MEMORY.has(op) || source === undefined || output === undefined) continue;
    owners.set(output, owners.get(source) ?? source);
  }
  return (value) => owners.get(value) ?? value;
}
