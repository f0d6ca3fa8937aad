/**
 * Writes what ONNX Runtime's WebGPU provider (1.30) has no kernel for with operators that it has. Left as it is, a node
 * would be computed on the CPU, with its operands copied there and its results back, in every step.
 */
import type { Graph } from "../ir.ts";
import { rewrite, type Rule } from "../passes/rewrite.ts";
import { convolutionRules } from "./convolutions.ts";
import { elementwiseRules } from "./elementwise.ts";
import { extremeRules } from "./extremes.ts";
import { moveRules } from "./moves.ts";
import { productRules } from "./products.ts";

const RULES: Readonly<Record<string, Rule>> = {
  ...convolutionRules,
  ...elementwiseRules,
  ...extremeRules,
  ...moveRules,
  ...productRules,
};

export const legalizeForWebGpu = (graph: Graph): Graph =>
  rewrite(graph, (node, context) => RULES[node.op]?.(node, context) ?? null);
