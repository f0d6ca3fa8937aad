import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../builder.ts";
import { interpret } from "../interpret/interpret.ts";
import { ints, type Graph, type Value } from "../ir.ts";
import { broadcastShape } from "../shapes.ts";
import { mergeCommonSubexpressions } from "./common-subexpressions.ts";
import { removeDeadNodes } from "./dead-nodes.ts";
import { foldConstants } from "./fold-constants.ts";
import { cancelMoves } from "./moves.ts";
import { optimize } from "./optimize.ts";

const FLOAT = "float32" as const;

/** A graph of one input x and one output y. */
function graphOf(shape: readonly number[], body: (graph: GraphBuilder, x: Value) => Value): Graph {
  const builder = new GraphBuilder();
  const y = body(builder, builder.input("x", { shape, dtype: FLOAT }));
  return builder.build([{ name: "y", value: y }]);
}

const ops = (graph: Graph): string[] => graph.nodes.map(({ op }) => op);

const binary = (graph: GraphBuilder, op: string, a: Value, b: Value): Value =>
  graph.emit(op, [a, b], { shape: broadcastShape(a.shape, b.shape), dtype: FLOAT });
const unary = (graph: GraphBuilder, op: string, x: Value): Value => graph.emit(op, [x], x);
const transpose = (graph: GraphBuilder, x: Value, perm: readonly number[]): Value =>
  graph.emit(
    "Transpose",
    [x],
    { shape: perm.map((axis) => x.shape[axis] ?? 1), dtype: FLOAT },
    { attributes: { perm: ints(perm) } },
  );

describe("removeDeadNodes", () => {
  it("drops what no output needs, constants too", () => {
    const graph = graphOf([2], (b, x) => {
      binary(b, "Add", x, b.scalar(3));
      return unary(b, "Neg", x);
    });
    const cleaned = removeDeadNodes(graph);
    expect(ops(cleaned)).toEqual(["Neg"]);
    expect(cleaned.constants.size).toBe(0);
  });
});

describe("mergeCommonSubexpressions", () => {
  it("computes once what is written twice", () => {
    const graph = graphOf([2], (b, x) => {
      const once = (): Value => unary(b, "Exp", binary(b, "Mul", x, b.scalar(2)));
      return binary(b, "Add", once(), once());
    });
    expect(ops(removeDeadNodes(mergeCommonSubexpressions(graph)))).toEqual(["Mul", "Exp", "Add"]);
  });

  it("keeps apart what differs in an attribute or a constant", () => {
    const graph = graphOf([2, 2, 2], (b, x) => {
      const left = binary(b, "Mul", transpose(b, x, [1, 0, 2]), b.scalar(2));
      return binary(b, "Add", left, binary(b, "Mul", transpose(b, x, [2, 1, 0]), b.scalar(3)));
    });
    expect(removeDeadNodes(mergeCommonSubexpressions(graph)).nodes).toHaveLength(5);
  });
});

describe("foldConstants", () => {
  it("computes at once what depends on constants only", () => {
    const graph = graphOf([2], (b, x) =>
      binary(b, "Add", x, unary(b, "Sqrt", binary(b, "Mul", b.scalar(8), b.scalar(2)))),
    );
    const folded = removeDeadNodes(foldConstants(graph));
    expect(ops(folded)).toEqual(["Add"]);
    expect([...folded.constants.values()]).toEqual([Float32Array.of(4)]);
  });

  it("does not write out large broadcasts", () => {
    const graph = graphOf([100, 100], (b, x) => binary(b, "Add", x, b.full(2, x)));
    expect(ops(foldConstants(graph))).toEqual(["Expand", "Add"]);
  });
});

describe("cancelMoves", () => {
  it("drops reshapes and transposes that undo each other", () => {
    const graph = graphOf([2, 3, 4], (b, x) => {
      const there = transpose(b, b.reshape(b.reshape(x, [6, 4]), [3, 2, 4]), [2, 0, 1]);
      return unary(b, "Neg", b.reshape(transpose(b, there, [1, 2, 0]), [2, 3, 4]));
    });
    expect(ops(optimize(graph))).toEqual(["Neg"]);
  });

  it("makes one of two transposes, and a reshape of one that moves only axes of length 1", () => {
    const two = graphOf([2, 3, 4], (b, x) => transpose(b, transpose(b, x, [1, 0, 2]), [2, 1, 0]));
    expect(ops(optimize(two))).toEqual(["Transpose"]);
    const ones = graphOf([2, 1, 4], (b, x) => transpose(b, x, [1, 0, 2]));
    expect(ops(cancelMoves(ones))).toEqual(["Reshape"]);
  });
});

describe("simplifyArithmetic", () => {
  it("drops neutral operands and broadcasts that the operator does itself", () => {
    const graph = graphOf([2, 3], (b, x) => {
      const scaled = binary(b, "Mul", x, b.full(1, x));
      return binary(b, "Add", binary(b, "Sub", scaled, b.scalar(0)), b.expand(b.scalar(5), [2, 3]));
    });
    expect(ops(optimize(graph))).toEqual(["Add"]);
  });

  it("keeps a neutral operand that broadcasts", () => {
    const graph = graphOf([3], (b, x) => binary(b, "Add", x, b.full(0, { shape: [2, 3], dtype: FLOAT })));
    expect(interpret(optimize(graph), { x: [1, 2, 3] }).y?.data).toEqual(Float64Array.of(1, 2, 3, 1, 2, 3));
  });

  it("folds scalar factors into each other and into a product", () => {
    const graph = graphOf([2, 2], (b, x) => {
      const scaled = binary(b, "Mul", b.scalar(2), binary(b, "Mul", x, b.scalar(0.25)));
      return b.emit("MatMul", [scaled, x], x);
    });
    const optimized = optimize(graph);
    expect(ops(optimized)).toEqual(["FusedMatMul"]);
    expect(optimized.nodes[0]?.attributes.alpha).toEqual({ kind: "float", value: 0.5 });
  });

  it("gives a scalar the rank of a tensor whose last axis has length 1", () => {
    const graph = graphOf([2, 3, 1], (b, x) => binary(b, "Mul", x, b.scalar(2)));
    expect(optimize(graph).nodes[0]?.inputs[1]?.shape).toEqual([1, 1, 1]);
  });

  it("subtracts instead of adding the negative, and sums squares in one operator", () => {
    const graph = graphOf([2, 2], (b, x) => {
      const difference = binary(b, "Add", unary(b, "Neg", x), unary(b, "Exp", x));
      const square = binary(b, "Mul", difference, difference);
      return b.emit("ReduceSum", [square, b.indices([0, 1])], { shape: [], dtype: FLOAT });
    });
    expect(ops(optimize(graph)).sort()).toEqual(["Exp", "ReduceSumSquare", "Sub"]);
  });
});

/** Programs over a stack of values: each instruction makes a new value from earlier ones. */
const instructions = fc.array(fc.tuple(fc.nat({ max: 11 }), fc.nat(), fc.nat()), {
  minLength: 1,
  maxLength: 14,
});

function randomGraph(program: readonly (readonly [number, number, number])[]): Graph {
  return graphOf([2, 3], (b, x) => {
    const values: Value[] = [x, b.scalar(0), b.scalar(1), b.full(1, x), b.constant(Float32Array.of(1, 2, 3), { shape: [3], dtype: FLOAT })]; // prettier-ignore
    const pick = (n: number): Value => values[n % values.length] ?? x;
    for (const [op, first, second] of program) {
      const a = pick(first);
      const c = pick(second);
      const reversed = a.shape.map((_, axis) => axis).reverse();
      const axes = b.indices(a.shape.map((_, axis) => axis));
      const next = [
        () => binary(b, "Add", a, fit(b, c, a)),
        () => binary(b, "Sub", fit(b, c, a), a),
        () => binary(b, "Mul", a, fit(b, c, a)),
        () => unary(b, "Neg", a),
        () => unary(b, "Tanh", a),
        () => (a.shape.length < 2 ? a : transpose(b, a, reversed)),
        () => b.reshape(a, [...a.shape].reverse()),
        () => b.reshape(a, [1, ...a.shape]),
        () => b.expand(b.scalar(second % 3), a.shape),
        () => (a.shape.length === 0 ? a : b.emit("ReduceSum", [a, axes], { shape: [], dtype: FLOAT })),
        () => binary(b, "Mul", a, b.scalar((second % 5) - 2)),
        () => (a.shape.length < 2 ? a : b.emit("MatMul", [a, transpose(b, a, swapLast(a))], { shape: [...a.shape.slice(0, -1), a.shape.at(-2) ?? 1], dtype: FLOAT })), // prettier-ignore
      ][op]?.();
      if (next !== undefined && next.shape.length < 5) values.push(next);
    }
    return values.at(-1) ?? x;
  });
}

/** `value` if it broadcasts with `to`, else a scalar. */
function fit(b: GraphBuilder, value: Value, to: Value): Value {
  const rank = Math.max(value.shape.length, to.shape.length);
  const fits = Array.from({ length: rank }, (_, i) => {
    const [p = 1, q = 1] = [value.shape.at(-1 - i), to.shape.at(-1 - i)];
    return p === q || p === 1 || q === 1;
  });
  return fits.every(Boolean) ? value : b.scalar(0.5);
}

function swapLast({ shape }: Value): number[] {
  const axes = shape.map((_, axis) => axis);
  const [last = 0, before = 0] = [axes.pop(), axes.pop()];
  return [...axes, last, before];
}

describe("all passes together", () => {
  it("never change what a graph computes", () => {
    fc.assert(
      fc.property(instructions, (program) => {
        const graph = randomGraph(program);
        const x = [0.3, -1.2, 0.7, 2, -0.4, 1.1];
        const [before, after] = [graph, optimize(graph)].map((g) => interpret(g, { x }).y);
        expect(after?.shape).toEqual(before?.shape);
        before?.data.forEach((value, i) => {
          expect(Math.abs((after?.data[i] ?? NaN) - value)).toBeLessThanOrEqual(1e-6 * (1 + Math.abs(value)));
        });
      }),
      { numRuns: 300 },
    );
  });

  it("leave inputs and outputs as they are", () => {
    const graph = graphOf([2], (_, x) => x);
    const { inputs, outputs } = optimize(graph);
    expect({ inputs, outputs }).toEqual({ inputs: graph.inputs, outputs: graph.outputs });
  });
});
