/**
 * The compiled engine's intermediate form: a straight list of ONNX operators on values of static shape.
 * Everything in it is immutable; passes build new graphs.
 */

/** `int64` occurs only in shape-like operands that ONNX wants so, `float16` only around products in mixed precision. */
export type Dtype = "float32" | "float16" | "int32" | "uint8" | "bool" | "int64";

/** The result of a node, a constant or a graph input. Identity is the object itself; `id` only names it. */
export interface Value {
  readonly id: number;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

export type Attribute =
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "ints"; readonly value: readonly number[] }
  | { readonly kind: "string"; readonly value: string };
export type Attributes = Readonly<Record<string, Attribute>>;

/** "" is ONNX itself, the other one holds ONNX Runtime's fused operators. */
export type Domain = "" | "com.microsoft";

export interface Node {
  readonly op: string;
  readonly domain: Domain;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Attributes;
}

/** Row-major. float16 is held as Float32Array; bool is 0 and 1 in bytes; int64 is held as Int32Array, for no shape is larger. */
export type ConstantData = Float32Array | Int32Array | Uint8Array;

export interface NamedValue {
  readonly name: string;
  readonly value: Value;
}

export interface Graph {
  readonly inputs: readonly NamedValue[];
  readonly constants: ReadonlyMap<Value, ConstantData>;
  /** In an order in which every input is made before it is used. */
  readonly nodes: readonly Node[];
  readonly outputs: readonly NamedValue[];
}

export const int = (value: number): Attribute => ({ kind: "int", value });
export const float = (value: number): Attribute => ({ kind: "float", value });
export const ints = (value: readonly number[]): Attribute => ({ kind: "ints", value });

export const sizeOf = (shape: readonly number[]): number => shape.reduce((size, length) => size * length, 1);

export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((length, axis) => length === b[axis]);

/** @returns the attribute, or `fallback` where the node does not carry it */
export function intAttribute(node: Node, name: string, fallback: number): number {
  const attribute = node.attributes[name];
  return attribute?.kind === "int" ? attribute.value : fallback;
}

export function floatAttribute(node: Node, name: string, fallback: number): number {
  const attribute = node.attributes[name];
  return attribute?.kind === "float" ? attribute.value : fallback;
}

export function intsAttribute(node: Node, name: string): readonly number[] | null {
  const attribute = node.attributes[name];
  return attribute?.kind === "ints" ? attribute.value : null;
}
