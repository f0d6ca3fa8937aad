/** What a group of replicas and each of its threads say to each other. Calls are answered in order. */
import type { PackedError } from "@consilium/shared/packed-error";
import type {
  EngineOptions,
  InputArrays,
  InputSpecs,
  OptimizerState,
  StepOptions,
  StepResult,
} from "../types.ts";
import type { ExchangeMemory } from "./exchange.ts";

export type ReplicaOptions = Omit<StepOptions, "exchange" | "privacy">;

/** What the thread is started with. Its first answer says that the step is compiled. */
export interface ReplicaStart {
  /** From this the thread's script makes the definition. */
  readonly recipe: unknown;
  /** This replica's number, from 0. */
  readonly index: number;
  readonly engine: EngineOptions;
  readonly options: ReplicaOptions;
  readonly memory: ExchangeMemory;
}

/** The calls that a replica answers: argument and result. */
export interface Calls {
  run: {
    argument: { readonly inputs: InputArrays<InputSpecs>; readonly learningRate: number };
    result: StepResult;
  };
  readWeights: { argument: null; result: Float32Array };
  /** Differs where a single bit of the weights does. */
  digestWeights: { argument: null; result: string };
  writeWeights: {
    argument: { readonly values: Float32Array; readonly anchor: Float32Array };
    result: null;
  };
  readOptimizerState: { argument: null; result: OptimizerState };
  writeOptimizerState: { argument: OptimizerState | null; result: null };
}
export type CallName = keyof Calls;

/** `close` lets the thread end at the border of a step. */
export type ToReplica =
  | { [Name in CallName]: { readonly call: Name; readonly argument: Calls[Name]["argument"] } }[CallName]
  | { readonly call: "close" };

export type FromReplica =
  | { readonly result: Calls[CallName]["result"] }
  | { readonly error: PackedError }
  /** It could have gone on, but another replica failed. */
  | { readonly withdrawn: true };
