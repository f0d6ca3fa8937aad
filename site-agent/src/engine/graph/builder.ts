/** Appends nodes to a growing graph. Kernels of the tracer and rules of the passes write through it. */
import { roundToHalf } from "./half.ts";
import {
  int,
  sameShape,
  type Attributes,
  type ConstantData,
  type Domain,
  type Dtype,
  type Graph,
  type NamedValue,
  type Node,
  type Value,
} from "./ir.ts";

/** ONNX' TensorProto.DataType. */
export const ONNX_TYPE: Readonly<Record<Dtype, number>> = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
};

export interface OutputSpec {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

export interface EmitOptions {
  readonly attributes?: Attributes;
  readonly domain?: Domain;
}

export class GraphBuilder {
  readonly #inputs: NamedValue[] = [];
  readonly #constants = new Map<Value, ConstantData>();
  readonly #nodes: Node[] = [];
  readonly #producers = new Map<Value, Node>();
  #nextId: number;

  /** @param firstId ids below it are taken, by the graph that a pass rewrites */
  constructor(firstId = 0) {
    this.#nextId = firstId;
  }

  input(name: string, spec: OutputSpec): Value {
    const value = this.#value(spec);
    this.#inputs.push({ name, value });
    return value;
  }

  /** Takes over an input of another graph as it is. */
  adoptInput(input: NamedValue): void {
    this.#inputs.push(input);
  }

  adoptConstant(value: Value, data: ConstantData): void {
    this.#constants.set(value, data);
  }

  adoptNode(node: Node): void {
    this.#nodes.push(node);
    for (const output of node.outputs) this.#producers.set(output, node);
  }

  constant(data: ConstantData, spec: OutputSpec): Value {
    const value = this.#value(spec);
    this.#constants.set(value, data);
    return value;
  }

  scalar(number: number, dtype: Dtype = "float32"): Value {
    return this.constant(arrayOf(dtype, [number]), { shape: [], dtype });
  }

  /** A vector of int64, as ONNX wants shapes, axes and starts. */
  indices(numbers: readonly number[]): Value {
    return this.constant(Int32Array.from(numbers), { shape: [numbers.length], dtype: "int64" });
  }

  /** All elements alike, without storing them. */
  full(number: number, { shape, dtype }: OutputSpec): Value {
    const scalar = this.scalar(number, dtype);
    return shape.length === 0 ? scalar : this.expand(scalar, shape);
  }

  emit(op: string, inputs: readonly Value[], output: OutputSpec, options: EmitOptions = {}): Value {
    const value = this.#value(output);
    this.#append(op, inputs, [value], options);
    return value;
  }

  emitMany(
    op: string,
    inputs: readonly Value[],
    outputs: readonly OutputSpec[],
    options: EmitOptions = {},
  ): readonly Value[] {
    const values = outputs.map((output) => this.#value(output));
    this.#append(op, inputs, values, options);
    return values;
  }

  cast(value: Value, dtype: Dtype): Value {
    if (value.dtype === dtype) return value;
    const attributes = { to: int(ONNX_TYPE[dtype]) };
    return this.emit("Cast", [value], { shape: value.shape, dtype }, { attributes });
  }

  reshape(value: Value, shape: readonly number[]): Value {
    if (sameShape(value.shape, shape)) return value;
    return this.emit("Reshape", [value, this.indices(shape)], { shape, dtype: value.dtype });
  }

  /** Broadcast to `shape`. */
  expand(value: Value, shape: readonly number[]): Value {
    if (sameShape(value.shape, shape)) return value;
    return this.emit("Expand", [value, this.indices(shape)], { shape, dtype: value.dtype });
  }

  constantOf(value: Value): ConstantData | null {
    return this.#constants.get(value) ?? null;
  }

  producerOf(value: Value): Node | null {
    return this.#producers.get(value) ?? null;
  }

  build(outputs: readonly NamedValue[]): Graph {
    return {
      inputs: [...this.#inputs],
      constants: new Map(this.#constants),
      nodes: [...this.#nodes],
      outputs,
    };
  }

  #append(op: string, inputs: readonly Value[], outputs: readonly Value[], options: EmitOptions): void {
    const { attributes = {}, domain = "" } = options;
    this.adoptNode({ op, domain, inputs, outputs, attributes });
  }

  #value({ shape, dtype }: OutputSpec): Value {
    return { id: this.#nextId++, dtype, shape: [...shape] };
  }
}

/** `numbers` in the array type that constants of `dtype` use. */
export function arrayOf(dtype: Dtype, numbers: ArrayLike<number>): ConstantData {
  switch (dtype) {
    case "float32":
      return Float32Array.from(numbers);
    case "float16":
      return Float32Array.from(numbers, roundToHalf);
    case "int32":
    case "int64":
      return Int32Array.from(numbers);
    case "uint8":
      return Uint8Array.from(numbers);
    case "bool":
      return Uint8Array.from(numbers, (number) => (number === 0 ? 0 : 1));
  }
}

/** The value if all elements are alike, else null. */
export function uniformValue(data: ConstantData): number | null {
  const first = data[0];
  if (first === undefined) return null;
  return data.every((number) => Object.is(number, first)) ? first : null;
}
