/**
 * TF.js itself, one kernel after the other, on one of its own backends: `cpu` is what tests compare with, `wasm`
 * what benchmarks do, and `tensorflow` an engine for sites that have TensorFlow installed.
 * The caller has imported the backend's package.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { NamedArrays, TensorArray } from "./arrays.ts";
import type { Program } from "./program.ts";
import {
  replacedBy,
  type Attempt,
  type ResidentArrays,
  type ResidentShapes,
  type Runnable,
  type Runtime,
  type Workspace,
} from "./runtime.ts";
import * as tf from "./tf.ts";
import { activeBackend } from "./tracer/trace.ts";

/** @param backend TF.js' name, for example `cpu` or `wasm` */
export function eagerRuntime(backend: string): Runtime {
  return {
    name: `tfjs/${backend}`,
    openWorkspace: (resident) => new EagerWorkspace(backend, resident),
  };
}

/** Resident arrays are tensors of the backend. */
class EagerWorkspace implements Workspace<Program> {
  readonly #backend: string;
  readonly #shapes: ResidentShapes;
  readonly #current = new Map<string, tf.Tensor>();
  /** What the last run would put in their place. */
  readonly #pending = new Map<string, tf.Tensor>();

  constructor(backend: string, resident: ResidentShapes) {
    this.#backend = backend;
    this.#shapes = resident;
  }

  prepare(program: Program): Promise<Runnable> {
    return Promise.resolve({ run: (inputs) => this.#run(program, inputs) });
  }

  #run(program: Program, inputs: NamedArrays): Promise<Attempt> {
    return onBackend(this.#backend, async () => {
      this.#forgetPending();
      const tensors = tf.tidy(() => program.body(this.#tensors(program, inputs)));
      const outputs = new Map<string, Float32Array>();
      for (const [name, tensor] of Object.entries(tensors)) {
        const resident = replacedBy(name, this.#shapes);
        if (resident !== null) this.#pending.set(resident, tensor);
        else {
          outputs.set(name, Float32Array.from(await tensor.data()));
          tensor.dispose();
        }
      }
      return {
        outputs,
        commit: () => {
          this.#commit();
        },
      };
    });
  }

  /** Within a tidy. */
  #tensors(program: Program, inputs: NamedArrays): Map<string, tf.Tensor> {
    const tensors = new Map<string, tf.Tensor>();
    for (const [name, { shape, dtype }] of Object.entries(program.inputs)) {
      const array = inputs.get(name);
      tensors.set(
        name,
        array === undefined ? this.#resident(name) : toTensor(array, shape, dtype === "int32"),
      );
    }
    return tensors;
  }

  #resident(name: string): tf.Tensor {
    const known = this.#current.get(name);
    if (known !== undefined) return known;
    const shape = this.#shapes.get(name);
    if (shape === undefined) {
      throw new ConsiliumError("engine.run-failed", { detail: `(${name} is missing)`, culprits: [name] });
    }
    const zeros = tf.keep(tf.zeros([...shape]));
    this.#current.set(name, zeros);
    return zeros;
  }

  #commit(): void {
    for (const [name, tensor] of this.#pending) {
      this.#current.get(name)?.dispose();
      this.#current.set(name, tensor);
    }
    this.#pending.clear();
  }

  #forgetPending(): void {
    for (const tensor of this.#pending.values()) tensor.dispose();
    this.#pending.clear();
  }

  read(names: readonly string[]): Promise<ResidentArrays> {
    return onBackend(this.#backend, async () => {
      const arrays = new Map<string, Float32Array>();
      for (const name of names) arrays.set(name, Float32Array.from(await this.#resident(name).data()));
      return arrays;
    });
  }

  write(arrays: ResidentArrays): Promise<void> {
    return onBackend(this.#backend, () => {
      for (const [name, values] of arrays) {
        const before = this.#resident(name);
        // A copy: the backend may keep the array itself.
        this.#current.set(name, tf.keep(tf.tensor(values.slice(), before.shape)));
        before.dispose();
      }
      return Promise.resolve();
    });
  }

  dispose(): Promise<void> {
    this.#forgetPending();
    for (const tensor of this.#current.values()) tensor.dispose();
    this.#current.clear();
    return Promise.resolve();
  }
}

function toTensor(array: TensorArray, shape: readonly number[], integers: boolean): tf.Tensor {
  try {
    const values = array instanceof Uint8Array ? Float32Array.from(array) : array;
    return tf.tensor(values, [...shape], integers ? "int32" : "float32");
  } catch (error) {
    throw new ConsiliumError("engine.run-failed", {
      detail: `(an input holds ${array.length} elements instead of [${shape.join(", ")}])`,
      cause: error,
    });
  }
}

/** Makes `backend` TF.js' active one while `work` runs. */
async function onBackend<Result>(backend: string, work: () => Promise<Result>): Promise<Result> {
  const previous = activeBackend();
  await tf.setBackend(backend);
  try {
    return await work();
  } finally {
    if (typeof previous === "string" && previous !== backend) await tf.setBackend(previous);
  }
}
