/** Sessions of ONNX Runtime and the tensors that go through them, whatever the device. */
import { ConsiliumError } from "@consilium/shared/errors";
import * as ort from "onnxruntime-node";
import type { TensorArray } from "../arrays.ts";
import type { Graph } from "../graph/ir.ts";
import { writeOnnx, type OnnxOptions } from "../graph/onnx.ts";

export type SessionOptions = ort.InferenceSession.SessionOptions;

/** ONNX Runtime's severities: warnings about fused or unplaced nodes mean nothing to the people here. */
const LOG_ERRORS_ONLY = 3;

/** @throws engine.compile-failed */
export async function createSession(
  graph: Graph,
  options: SessionOptions,
  format: OnnxOptions = {},
): Promise<ort.InferenceSession> {
  ort.env.logLevel = "error";
  try {
    return await ort.InferenceSession.create(writeOnnx(graph, format), {
      interOpNumThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
      logSeverityLevel: LOG_ERRORS_ONLY,
      ...options,
    });
  } catch (error) {
    throw new ConsiliumError("engine.compile-failed", { detail: `(${summary(error)})`, cause: error });
  }
}

/** @throws engine.run-failed */
export async function runSession<Result>(run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    throw new ConsiliumError("engine.run-failed", { detail: `(${summary(error)})`, cause: error });
  }
}

/** Shares the array's memory. @throws engine.run-failed */
export function toTensor(name: string, array: TensorArray, shape: readonly number[]): ort.Tensor {
  try {
    if (array instanceof Float32Array) return new ort.Tensor("float32", array, shape);
    if (array instanceof Int32Array) return new ort.Tensor("int32", array, shape);
    return new ort.Tensor("uint8", array, shape);
  } catch (error) {
    throw new ConsiliumError("engine.run-failed", {
      detail: `(${name} holds ${array.length} elements instead of [${shape.join(", ")}])`,
      culprits: [name],
      cause: error,
    });
  }
}

/** @throws engine.run-failed where the map does not have it */
export function required<Item>(items: ReadonlyMap<string, Item>, name: string): Item {
  const item = items.get(name);
  if (item !== undefined) return item;
  throw new ConsiliumError("engine.run-failed", { detail: `(${name} is missing)`, culprits: [name] });
}

/** The first line of ONNX Runtime's message, without the source files that it names. */
export function summary(error: unknown): string {
  const [line = ""] = (error instanceof Error ? error.message : "unknown").split("\n");
  return line.replaceAll(/\S*\/\S*/g, "").slice(0, 300);
}
