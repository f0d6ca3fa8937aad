/** Elementwise operators, on floats, integers and bools. */
import type { GraphBuilder } from "../builder.ts";
import { floatAttribute, type Dtype, type Node, type Value } from "../ir.ts";
import type { Rule } from "../passes/rewrite.ts";
import { broadcastShape } from "../shapes.ts";

/** Writes with the operators' own names, shapes by broadcasting. */
class Terms {
  readonly #graph: GraphBuilder;

  constructor(graph: GraphBuilder) {
    this.#graph = graph;
  }

  op(name: string, a: Value, b: Value | null = null, dtype: Dtype = a.dtype): Value {
    const shape = b === null ? a.shape : broadcastShape(a.shape, b.shape);
    return this.#graph.emit(name, b === null ? [a] : [a, b], { shape, dtype });
  }

  compare(name: string, a: Value, b: Value): Value {
    return this.op(name, a, b, "bool");
  }

  number(like: Value, value: number): Value {
    return this.#graph.scalar(value, like.dtype);
  }

  cast(value: Value, dtype: Dtype): Value {
    return this.#graph.cast(value, dtype);
  }

  /** Bools are compared as integers. */
  differ(a: Value, b: Value): Value {
    return this.op("Not", this.compare("Equal", this.cast(a, "int32"), this.cast(b, "int32")));
  }

  not(a: Value): Value {
    return this.op("Not", a);
  }
}

type Spelling = (terms: Terms, a: Value, b: Value) => Value | null;

const spelled =
  (spelling: Spelling): Rule =>
  (node: Node, { graph }) => {
    const [a, b = a] = node.inputs;
    if (a === undefined || b === undefined) return null;
    const result = spelling(new Terms(graph), a, b);
    return result === null ? null : [result];
  };

const onIntegers =
  (spelling: Spelling): Spelling =>
  (terms, a, b) =>
    a.dtype === "int32" ? spelling(terms, a, b) : null;

const negative: Spelling = (t, a) => t.op("Sub", t.number(a, 0), a);

/** Half goes to the even neighbour. Adding a half and rounding down would lose the last bit of large numbers. */
const round: Spelling = (t, a) => {
  const below = t.op("Floor", a);
  const rest = t.op("Sub", a, below);
  const half = t.number(a, 0.5);
  const isOdd = t.differ(
    t.compare("Equal", t.op("Floor", t.op("Mul", below, half)), t.op("Mul", below, half)),
    t.compare("Equal", below, below),
  );
  const up = t.not(
    t.op(
      "And",
      t.not(t.compare("Greater", rest, half)),
      t.not(t.op("And", t.compare("Equal", rest, half), isOdd)),
    ),
  );
  return t.op("Add", below, t.cast(up, a.dtype));
};

/** With the sign of the divisor, where WGSL's division goes towards zero. */
const modulo: Spelling = (t, a, b) => {
  const rest = t.op("Sub", a, t.op("Mul", b, t.op("Div", a, b)));
  const zero = t.number(a, 0);
  const signsDiffer = t.differ(t.compare("Less", rest, zero), t.compare("Less", b, zero));
  const wrong = t.op("And", signsDiffer, t.not(t.compare("Equal", rest, zero)));
  return t.op("Add", rest, t.op("Mul", b, t.cast(wrong, a.dtype)));
};

const selu: Rule = (node, { graph }) => {
  const [x] = node.inputs;
  if (x === undefined) return null;
  const t = new Terms(graph);
  // ONNX' own numbers, where the node does not carry them.
  const alpha = t.number(x, floatAttribute(node, "alpha", 1.67326319217681884765625));
  const gain = t.number(x, floatAttribute(node, "gamma", 1.05070102214813232421875));
  const zero = t.number(x, 0);
  const below = t.op("Mul", alpha, t.op("Sub", t.op("Exp", t.op("Min", x, zero)), t.number(x, 1)));
  return [t.op("Mul", gain, t.op("Add", t.op("Max", x, zero), below))];
};

export const elementwiseRules: Readonly<Record<string, Rule>> = {
  Sign: spelled((t, a) => {
    const zero = t.number(a, 0);
    const above = t.cast(t.compare("Greater", a, zero), a.dtype);
    return t.op("Sub", above, t.cast(t.compare("Less", a, zero), a.dtype));
  }),
  Round: spelled(round),
  IsNaN: spelled((t, a) => t.not(t.compare("Equal", a, a))),
  IsInf: spelled((t, a) => t.compare("Equal", t.op("Abs", a), t.number(a, Infinity))),
  Or: spelled((t, a, b) => t.not(t.op("And", t.not(a), t.not(b)))),
  Xor: spelled((t, a, b) => t.differ(a, b)),
  Equal: spelled((t, a, b) => (a.dtype === "bool" ? t.not(t.differ(a, b)) : null)),
  Selu: selu,
  Neg: spelled(onIntegers(negative)),
  Abs: spelled(onIntegers((t, a, b) => t.op("Max", a, negative(t, a, b) ?? a))),
  Mod: spelled(onIntegers(modulo)),
};
