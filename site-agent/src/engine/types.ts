/** The engine's door. Models, losses and optimiser are written in TensorFlow.js; how they run is behind it. */
import type { Tensor } from "@tensorflow/tfjs-core";
import type { DeviceChoice, Precision, WantedDevice } from "./devices/device.ts";
import type { GradientExchange } from "./parallel/exchange.ts";

export type InputDtype = "float32" | "int32" | "uint8";

export interface InputSpec {
  readonly shape: readonly number[];
  /** uint8 arrives in the loss as float32, 0 to 255. */
  readonly dtype: InputDtype;
}
export type InputSpecs = Readonly<Record<string, InputSpec>>;

export type InputArray<D extends InputDtype = InputDtype> = D extends "float32"
  ? Float32Array
  : D extends "int32"
    ? Int32Array
    : Uint8Array;
export type InputArrays<I extends InputSpecs> = { readonly [K in keyof I]: InputArray<I[K]["dtype"]> };
export type InputTensors<I extends InputSpecs> = { readonly [K in keyof I]: Tensor };

/** One weight tensor, in the order of the flat vector. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  /** Whether AdamW's decoupled weight decay applies: not on biases, norms and tokens. */
  readonly decay: boolean;
  /** Factor on the learning rate (layer decay); 0 freezes the parameter. */
  readonly learningRateScale: number;
  /** Of one that is not trained (learningRateScale 0) but follows another one that is. */
  readonly follows?: Following;
}

/** After each step: momentum * itself + (1 - momentum) * the other parameter, which has the same shape. */
export interface Following {
  /** Name of the other. */
  readonly parameter: string;
  readonly momentum: number;
}

export type ParameterTensors = ReadonlyMap<string, Tensor>;

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Gradients are scaled down to this global L2 norm if it is exceeded. */
  readonly clipGlobalNorm: number;
  /** FedProx's mu: holds weights to the anchor that `writeWeights` wrote last. 0 unless given. */
  readonly proximalMu?: number;
}

export interface TrainStepDefinition<I extends InputSpecs = InputSpecs> {
  readonly parameters: readonly Parameter[];
  readonly inputs: I;
  readonly optimizer: AdamWOptions;
  /** Written in TensorFlow.js; called once, on traced tensors. Metrics are tensors of any static shape. */
  readonly loss: (
    parameters: ParameterTensors,
    inputs: InputTensors<I>,
  ) => { readonly loss: Tensor; readonly metrics?: Readonly<Record<string, Tensor>> };
  /**
   * Whether a batch may be cut into equal parts along axis 0 of every input: the loss is then the mean of the parts'
   * losses, a metric of rank 0 the mean of theirs, and any other metric has a row for each example. Not, unless said.
   */
  readonly separable?: boolean;
}

/** How a step is carried out; what it computes stays the same. */
export interface StepOptions {
  /**
   * Equal parts of a batch that are computed one after the other, so that a batch needs the memory of a part. The
   * definition's inputs have the shapes of a part; `run` takes the whole batch. 1 unless given.
   */
  readonly microBatches?: number;
  /** With replicas that compute other parts of the same batch at the same time. Alone unless given. */
  readonly exchange?: GradientExchange;
  /** Computes the model's blocks a second time in the backward pass instead of keeping what is inside them. */
  readonly recompute?: boolean;
  /**
   * With the gradient of each example clipped and noise added. `run` then takes any number of parts, and as one more
   * input `EXAMPLE_WEIGHT`: 1 for each example that counts, 0 for those that fill up a part. Goes with no other option.
   */
  readonly privacy?: PrivateStepOptions;
}

/** DP-SGD's step (Abadi et al. 2016, algorithm 1), with AdamW on the noisy mean. */
export interface PrivateStepOptions {
  /** Examples that are computed at once, the length of axis 0 of the definition's inputs. */
  readonly examples: number;
  /** Each example's gradient is scaled down to this L2 norm if it exceeds it. */
  readonly clipL2Norm: number;
  /** Of the noise that is added to the sum of the clipped gradients, in every element. */
  readonly noiseStdDev: number;
  /** Divides the noisy sum, whatever the number of examples drawn: that number is secret. */
  readonly expectedExamples: number;
  /** Fills an array with independent normal numbers that nobody else can know or repeat. */
  readonly drawNoise: (out: Float32Array, stdDev: number) => void;
}

export interface StepResult {
  readonly loss: number;
  /** Global L2 norm of the gradient before clipping. */
  readonly gradientNorm: number;
  readonly metrics: Readonly<Record<string, Float32Array>>;
}

/** AdamW's moments as flat vectors in parameter order. Never leaves the site. */
export interface OptimizerState {
  /** Updates applied so far; drives the bias correction. */
  readonly step: number;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
}

/** Forward, backward, clipping and AdamW as one compiled graph, with the weights inside. */
export interface TrainStep<I extends InputSpecs = InputSpecs> {
  /**
   * @param inputs `microBatches` times as long as the definition's
   * @throws engine.run-failed, training.diverged if the loss is not finite (the weights are then left as they were)
   */
  run(inputs: InputArrays<I>, learningRate: number): Promise<StepResult>;
  /** Flat copy of the weights, in parameter order. */
  readWeights(): Promise<Float32Array>;
  /** @param anchor what FedProx holds the weights to; the weights themselves unless given */
  writeWeights(values: Float32Array, anchor?: Float32Array): Promise<void>;
  readOptimizerState(): Promise<OptimizerState>;
  /** `null` resets the moments. */
  writeOptimizerState(state: OptimizerState | null): Promise<void>;
  dispose(): Promise<void>;
}

export interface InferenceDefinition<I extends InputSpecs = InputSpecs> {
  readonly parameters: readonly Parameter[];
  readonly inputs: I;
  /** Called once, on traced tensors; every output has a static shape. */
  readonly forward: (
    parameters: ParameterTensors,
    inputs: InputTensors<I>,
  ) => Readonly<Record<string, Tensor>>;
}

export interface Inference<I extends InputSpecs = InputSpecs> {
  run(inputs: InputArrays<I>): Promise<Readonly<Record<string, Float32Array>>>;
  writeWeights(values: Float32Array): Promise<void>;
  dispose(): Promise<void>;
}

export interface Engine {
  /** For example `onnx/cpu`. */
  readonly name: string;
  compileTrainStep<I extends InputSpecs>(
    definition: TrainStepDefinition<I>,
    options?: StepOptions,
  ): Promise<TrainStep<I>>;
  compileInference<I extends InputSpecs>(definition: InferenceDefinition<I>): Promise<Inference<I>>;
}

export interface EngineOptions {
  /** Threads inside one operator. Results are reproducible for a fixed number. */
  readonly threads: number;
  /** `auto`, the default, takes a GPU that is hardware, else the CPU. A choice that was made is not tried again. */
  readonly device?: WantedDevice | DeviceChoice;
  /** Which of several such devices, from 0, the first unless given. Only CUDA lets one choose. */
  readonly deviceIndex?: number;
  /** float32 unless given. `mixed` multiplies matrices in float16, on devices that can. */
  readonly precision?: Precision;
}

/** Options that are settled, to be handed to a thread. */
export interface EngineSettings extends EngineOptions {
  readonly device: DeviceChoice;
}
