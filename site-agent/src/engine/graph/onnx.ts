/**
 * Writes a graph as an ONNX model: protocol buffers, proto3 wire format
 * (https://protobuf.dev/programming-guides/encoding/), fields of onnx/onnx.proto3.
 */
import { ONNX_TYPE } from "./builder.ts";
import { halfBits } from "./half.ts";
import type { Attribute, ConstantData, Graph, NamedValue, Node, Value } from "./ir.ts";

const IR_VERSION = 9;
const OPSET = 20;
const OPSET_MICROSOFT = 1;

/** AttributeProto.AttributeType */
const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, ints: 7 } as const;

export interface OnnxOptions {
  /** Name of a first output more, a sequence of nothing. See providers/host-graph.ts. */
  readonly sequence?: string;
  /** Inputs of these names are no inputs but initializers with these values. */
  readonly initializers?: ReadonlyMap<string, ConstantData>;
  /** Goes into the model's `metadata_props`. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export function writeOnnx(
  graph: Graph,
  { sequence, initializers = new Map(), metadata = {} }: OnnxOptions = {},
): Uint8Array {
  const naming = nameValues(graph);
  const body = new Message();
  for (const node of naming.nodes) body.message(1, nodeProto(node, naming.names));
  if (sequence !== undefined) body.message(1, emptySequence(sequence));
  body.string(2, "consilium");
  for (const [value, data] of graph.constants)
    body.message(5, tensorProto(naming.nameOf(value), value, data));
  for (const { name, value } of graph.inputs) {
    const data = initializers.get(name);
    if (data === undefined) body.message(11, valueInfo(name, value));
    else body.message(5, tensorProto(name, value, data));
  }
  if (sequence !== undefined) body.message(12, sequenceInfo(sequence));
  for (const { name, value } of graph.outputs) body.message(12, valueInfo(name, value));

  const model = new Message()
    .integer(1, IR_VERSION)
    .string(2, "consilium")
    .message(7, body)
    .message(8, new Message().string(1, "").integer(2, OPSET));
  if (graph.nodes.some(({ domain }) => domain === "com.microsoft")) {
    model.message(8, new Message().string(1, "com.microsoft").integer(2, OPSET_MICROSOFT));
  }
  for (const [key, value] of Object.entries(metadata)) {
    model.message(14, new Message().string(1, key).string(2, value));
  }
  return model.bytes();
}

interface Naming {
  readonly names: ReadonlyMap<Value, string>;
  readonly nodes: readonly Node[];
  nameOf(value: Value): string;
}

/**
 * Inputs and outputs keep their names. An output that is an input, a constant or a second name of the same
 * value is copied by an Identity node, for ONNX wants every output made by a node of its own.
 */
function nameValues(graph: Graph): Naming {
  const names = new Map<Value, string>();
  for (const { name, value } of graph.inputs) names.set(value, name);
  for (const value of graph.constants.keys()) names.set(value, `c${value.id}`);
  const nodes = [...graph.nodes];
  for (const { name, value } of graph.outputs) {
    if (!names.has(value)) {
      names.set(value, name);
      continue;
    }
    const copy: Value = { ...value };
    names.set(copy, name);
    nodes.push({ op: "Identity", domain: "", inputs: [value], outputs: [copy], attributes: {} });
  }
  const nameOf = (value: Value): string => names.get(value) ?? `v${value.id}`;
  return { names, nodes, nameOf };
}

function nodeProto(node: Node, names: ReadonlyMap<Value, string>): Message {
  const nameOf = (value: Value): string => names.get(value) ?? `v${value.id}`;
  const proto = new Message();
  for (const input of node.inputs) proto.string(1, nameOf(input));
  for (const output of node.outputs) proto.string(2, nameOf(output));
  const first = node.outputs[0];
  if (first !== undefined) proto.string(3, `${node.op}_${nameOf(first)}`);
  proto.string(4, node.op);
  for (const [name, attribute] of Object.entries(node.attributes)) {
    proto.message(5, attributeProto(name, attribute));
  }
  if (node.domain !== "") proto.string(7, node.domain);
  return proto;
}

function attributeProto(name: string, attribute: Attribute): Message {
  const proto = new Message().string(1, name);
  switch (attribute.kind) {
    case "float":
      proto.float(2, attribute.value);
      break;
    case "int":
      proto.integer(3, attribute.value);
      break;
    case "string":
      proto.string(4, attribute.value);
      break;
    case "ints":
      for (const value of attribute.value) proto.integer(8, value);
      break;
  }
  return proto.integer(20, ATTRIBUTE_TYPE[attribute.kind]);
}

function tensorProto(name: string, value: Value, data: ConstantData): Message {
  const proto = new Message();
  for (const length of value.shape) proto.integer(1, length);
  return proto
    .integer(2, ONNX_TYPE[value.dtype])
    .string(8, name)
    .raw(9, littleEndian(stored(value, data)));
}

/** In the width that ONNX wants. */
function stored({ dtype }: Value, data: ConstantData): ConstantData | BigInt64Array | Uint16Array {
  if (dtype === "int64") return BigInt64Array.from(data, BigInt);
  return dtype === "float16" ? Uint16Array.from(data, halfBits) : data;
}

/** ONNX raw_data is little-endian, as is every platform that ONNX Runtime supports. */
function littleEndian(data: ConstantData | BigInt64Array | Uint16Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function valueInfo(name: NamedValue["name"], value: Value): Message {
  const shape = new Message();
  for (const length of value.shape) shape.message(1, new Message().integer(1, length));
  const tensorType = new Message().integer(1, ONNX_TYPE[value.dtype]).message(2, shape);
  return new Message().string(1, name).message(2, new Message().message(1, tensorType));
}

const emptySequence = (name: string): Message =>
  new Message().string(2, name).string(3, name).string(4, "SequenceEmpty");

/** TypeProto.Sequence of float32 tensors. */
function sequenceInfo(name: string): Message {
  const element = new Message().message(1, new Message().integer(1, ONNX_TYPE.float32));
  return new Message()
    .string(1, name)
    .message(2, new Message().message(4, new Message().message(1, element)));
}

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** One protocol buffer message under construction: fields in the order in which they are added. */
class Message {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  integer(field: number, value: number): this {
    return this.#add(varint(field * 8 + VARINT)).#add(varint(value));
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.#add(varint(field * 8 + FIXED32)).#add(bytes);
  }

  string(field: number, value: string): this {
    return this.raw(field, new TextEncoder().encode(value));
  }

  message(field: number, value: Message): this {
    this.#add(varint(field * 8 + LENGTH_DELIMITED)).#add(varint(value.#length));
    for (const part of value.#parts) this.#add(part);
    return this;
  }

  raw(field: number, value: Uint8Array): this {
    return this.#add(varint(field * 8 + LENGTH_DELIMITED))
      .#add(varint(value.length))
      .#add(value);
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#length);
    let offset = 0;
    for (const part of this.#parts) {
      bytes.set(part, offset);
      offset += part.length;
    }
    return bytes;
  }

  #add(part: Uint8Array): this {
    this.#parts.push(part);
    this.#length += part.length;
    return this;
  }
}

/** Base-128, least significant group first; negative numbers as 64-bit two's complement. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
