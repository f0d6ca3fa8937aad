/**
 * One training step, and a forward pass, as TF.js functions from tensors to tensors. The compiled engine traces
 * them, the reference engine calls them: both run the same code.
 */
import { layOut, type Layout, type Slot } from "./layout.ts";
import { adamW, gradientFactor, globalNorm, readSchedule, scheduleLength } from "./optimizer.ts";
import type { TensorArray } from "./providers/provider.ts";
import { nextName } from "./runtime.ts";
import * as tf from "./tf.ts";
import type {
  InferenceDefinition,
  InputArrays,
  InputSpec,
  InputSpecs,
  InputTensors,
  Parameter,
  TrainStepDefinition,
} from "./types.ts";

export type NamedTensors = ReadonlyMap<string, tf.Tensor>;
export type ProgramInputs = Readonly<Record<string, InputSpec>>;

/** A function of named tensors, with the shapes of what goes in. */
export interface Program {
  readonly layout: Layout;
  readonly inputs: ProgramInputs;
  readonly body: (tensors: NamedTensors) => Record<string, tf.Tensor>;
}

export interface StepProgram extends Program {
  readonly trainable: readonly Slot[];
  /** Distinct learning-rate scales, in the order of the schedule. */
  readonly scales: readonly number[];
}

// Names of the graph's inputs and outputs.
export const SCHEDULE = "schedule";
export const LOSS = "loss";
export const GRADIENT_NORM = "gradientNorm";
export const weightsName = (slot: Slot): string => `${slot.name}.weights`;
export const firstName = (slot: Slot): string => `${slot.name}.first`;
export const secondName = (slot: Slot): string => `${slot.name}.second`;
export const batchName = (input: string): string => `input.${input}`;
const METRIC = "metric.";

const float32 = (shape: readonly number[]): InputSpec => ({ shape, dtype: "float32" });

export function stepProgram<I extends InputSpecs>(definition: TrainStepDefinition<I>): StepProgram {
  const { optimizer } = definition;
  const layout = layOut(definition.parameters);
  const trainable = layout.slots.filter((slot) => slot.learningRateScale !== 0);
  const scales = [...new Set(trainable.map((slot) => slot.learningRateScale))];

  const body = (tensors: NamedTensors): Record<string, tf.Tensor> => {
    const batch = batchTensors(definition.inputs, tensors);
    const parameters = parameterTensors(definition.parameters, layout, tensors);
    const { loss, metrics, gradients } = differentiate(definition, parameters, batch, trainable);

    const norm = globalNorm([...gradients.values()]);
    const factor = gradientFactor(norm, optimizer);
    const schedule = readSchedule(named(tensors, SCHEDULE), scales);
    const outputs: Record<string, tf.Tensor> = { [LOSS]: loss, [GRADIENT_NORM]: norm };
    for (const slot of trainable) {
      const rate = schedule.rates.get(slot.learningRateScale);
      const gradient = gradients.get(slot);
      if (rate === undefined || gradient === undefined)
        throw new RangeError("a slot without rate or gradient");
      const moments = { first: named(tensors, firstName(slot)), second: named(tensors, secondName(slot)) };
      const scaled = tf.mul(gradient, factor);
      const weights = named(tensors, weightsName(slot));
      const next = adamW(weights, scaled, moments, optimizer, schedule.epsilon, rate, slot.decay);
      outputs[nextName(weightsName(slot))] = next.weights;
      outputs[nextName(firstName(slot))] = next.moments.first;
      outputs[nextName(secondName(slot))] = next.moments.second;
    }
    for (const [name, metric] of Object.entries(metrics)) outputs[METRIC + name] = tf.cast(metric, "float32");
    return outputs;
  };

  const inputs = {
    ...weightInputs(layout),
    ...Object.fromEntries(
      trainable.flatMap((slot) => [
        [firstName(slot), float32(slot.shape)],
        [secondName(slot), float32(slot.shape)],
      ]),
    ),
    [SCHEDULE]: float32([scheduleLength(scales)]),
    ...batchInputs(definition.inputs),
  };
  return { layout, trainable, scales, inputs, body };
}

export function forwardProgram<I extends InputSpecs>(definition: InferenceDefinition<I>): Program {
  const layout = layOut(definition.parameters);
  const body = (tensors: NamedTensors): Record<string, tf.Tensor> => {
    const batch = batchTensors(definition.inputs, tensors);
    const outputs = definition.forward(parameterTensors(definition.parameters, layout, tensors), batch);
    return Object.fromEntries(
      Object.entries(outputs).map(([name, tensor]) => [METRIC + name, tf.cast(tensor, "float32")]),
    );
  };
  return { layout, inputs: { ...weightInputs(layout), ...batchInputs(definition.inputs) }, body };
}

interface Differentiated {
  readonly loss: tf.Tensor;
  readonly metrics: Readonly<Record<string, tf.Tensor>>;
  /** In the shape of the slot. A parameter that the loss does not use has gradient 0. */
  readonly gradients: ReadonlyMap<Slot, tf.Tensor>;
}

function differentiate<I extends InputSpecs>(
  definition: TrainStepDefinition<I>,
  parameters: NamedTensors,
  batch: InputTensors<I>,
  trainable: readonly Slot[],
): Differentiated {
  const members = trainable.flatMap((slot) => slot.members.map((member) => member.parameter));
  // TF.js disposes of everything that the differentiated function does not return; metrics have to outlive it.
  const kept: Record<string, tf.Tensor> = {};
  const forward = (): tf.Tensor => {
    const { loss, metrics = {} } = definition.loss(parameters, batch);
    for (const [name, metric] of Object.entries(metrics)) kept[name] = tf.keep(tf.clone(metric));
    return tf.reshape(loss, []);
  };
  const sources = members.map((parameter) => named(parameters, parameter.name));
  const { value, grads } = differentiated(forward, sources);
  const metrics = Object.fromEntries(
    Object.entries(kept).map(([name, metric]) => {
      const copy = tf.clone(metric);
      metric.dispose();
      return [name, copy];
    }),
  );

  const byParameter = new Map(members.map((parameter, i) => [parameter.name, grads[i] ?? null]));
  const gradients = new Map(
    trainable.map((slot) => {
      const parts = slot.members.map(({ parameter, length }) => {
        const gradient = byParameter.get(parameter.name) ?? tf.zeros([...parameter.shape]);
        return slot.members.length === 1 ? gradient : tf.reshape(gradient, [length]);
      });
      const [only] = parts;
      return [slot, parts.length === 1 && only !== undefined ? only : tf.concat(parts)];
    }),
  );
  return { loss: value, metrics, gradients };
}

function differentiated(
  forward: () => tf.Tensor,
  sources: tf.Tensor[],
): { value: tf.Tensor; grads: readonly (tf.Tensor | undefined)[] } {
  if (sources.length === 0) return { value: tf.tidy(forward), grads: [] };
  return tf.engine().gradients(forward, sources, undefined, true);
}

function parameterTensors(
  parameters: readonly Parameter[],
  layout: Layout,
  tensors: NamedTensors,
): NamedTensors {
  const cut = new Map<string, tf.Tensor>();
  for (const slot of layout.slots) {
    const whole = named(tensors, weightsName(slot));
    const parts =
      slot.members.length === 1
        ? [whole]
        : tf.split(
            whole,
            slot.members.map(({ length }) => length),
          );
    slot.members.forEach(({ parameter }, i) => {
      const part = parts[i];
      if (part !== undefined) cut.set(parameter.name, tf.reshape(part, [...parameter.shape]));
    });
  }
  // In the order of the definition, whatever the slots.
  return new Map(parameters.map(({ name }) => [name, named(cut, name)]));
}

function batchTensors<I extends InputSpecs>(specs: I, tensors: NamedTensors): InputTensors<I> {
  const batch = Object.keys(specs).map((name) => [name, named(tensors, batchName(name))]);
  return Object.fromEntries(batch) as InputTensors<I>;
}

const batchInputs = (specs: InputSpecs): ProgramInputs =>
  Object.fromEntries(Object.entries(specs).map(([name, spec]) => [batchName(name), spec]));

const weightInputs = (layout: Layout): ProgramInputs =>
  Object.fromEntries(layout.slots.map((slot) => [weightsName(slot), float32(slot.shape)]));

function named(tensors: NamedTensors, name: string): tf.Tensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new RangeError(`there is no tensor ${name}`);
  return tensor;
}

/** The arrays of a batch under the names of the program's inputs. */
export function batchFeeds<I extends InputSpecs>(specs: I, inputs: InputArrays<I>): Map<string, TensorArray> {
  return new Map(Object.keys(specs).map((name) => [batchName(name), inputs[name] as TensorArray]));
}

/** Copies of the outputs that the definition named, under its names. */
export function metricsOf(outputs: ReadonlyMap<string, Float32Array>): Record<string, Float32Array> {
  return Object.fromEntries(
    [...outputs]
      .filter(([name]) => name.startsWith(METRIC))
      .map(([name, values]) => [name.slice(METRIC.length), values.slice()]),
  );
}
