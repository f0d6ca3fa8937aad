/** Resident arrays in the process' own memory, for providers that compute there. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { NamedArrays, TensorArray } from "../arrays.ts";
import { sizeOf, type Graph } from "../graph/ir.ts";
import { overwritable } from "../graph/overwrite.ts";
import {
  replacedBy,
  type Attempt,
  type PrepareOptions,
  type ResidentArrays,
  type ResidentShapes,
  type Runnable,
  type Workspace,
} from "../runtime.ts";
import type { CompiledGraph } from "./provider.ts";

interface Run {
  readonly inputs: NamedArrays;
  /** Resident arrays that go in. */
  readonly read: readonly string[];
  /** Resident arrays by the outputs that replace them. */
  readonly replaced: ReadonlyMap<string, string>;
  /** Those of them that are written over. */
  readonly inPlace: ReadonlySet<string>;
  /** All other outputs. */
  readonly results: ResidentArrays;
}

/**
 * A run allocates nothing: what replaces an array is written over it where a graph allows that, and otherwise into a
 * second one that takes its place.
 */
export class HostWorkspace implements Workspace<Graph> {
  readonly #compile: (graph: Graph) => Promise<CompiledGraph>;
  readonly #current: Map<string, Float32Array>;
  readonly #spare = new Map<string, Float32Array>();
  readonly #compiled: CompiledGraph[] = [];

  constructor(resident: ResidentShapes, compile: (graph: Graph) => Promise<CompiledGraph>) {
    this.#compile = compile;
    this.#current = new Map([...resident].map(([name, shape]) => [name, new Float32Array(sizeOf(shape))]));
  }

  async prepare(graph: Graph, { overwrite = false }: PrepareOptions = {}): Promise<Runnable> {
    const compiled = await this.#compile(graph);
    this.#compiled.push(compiled);
    const results = new Map<string, Float32Array>();
    const replaced = new Map<string, string>();
    const inPlace = overwrite ? this.#overwritten(graph) : new Set<string>();
    for (const { name, value } of graph.outputs) {
      const resident = replacedBy(name, this.#current);
      if (resident === null) results.set(name, new Float32Array(sizeOf(value.shape)));
      else {
        replaced.set(name, resident);
        if (inPlace.has(resident) || this.#spare.has(resident)) continue;
        this.#spare.set(resident, new Float32Array(sizeOf(value.shape)));
      }
    }
    const read = graph.inputs.map(({ name }) => name).filter((name) => this.#current.has(name));
    return { run: (inputs) => this.#run(compiled, { inputs, read, replaced, inPlace, results }) };
  }

  /** Names of the arrays that the graph's outputs may be written over. */
  #overwritten({ inputs, outputs, ...rest }: Graph): ReadonlySet<string> {
    const inputValues = new Map(inputs.map(({ name, value }) => [name, value]));
    const pairs = outputs.flatMap(({ name, value }) => {
      const resident = replacedBy(name, this.#current);
      const input = resident === null ? undefined : inputValues.get(resident);
      return resident === null || input === undefined ? [] : [{ resident, input, output: value }];
    });
    return new Set(overwritable({ inputs, outputs, ...rest }, pairs).map(({ resident }) => resident));
  }

  async #run(compiled: CompiledGraph, { inputs, read, replaced, inPlace, results }: Run): Promise<Attempt> {
    const feeds = new Map<string, TensorArray>(inputs);
    for (const name of read) feeds.set(name, arrayOf(this.#current, name));
    const fetches = new Map<string, TensorArray>(results);
    for (const [output, name] of replaced) {
      fetches.set(output, arrayOf(inPlace.has(name) ? this.#current : this.#spare, name));
    }
    await compiled.run(feeds, fetches);
    return {
      outputs: results,
      commit: () => {
        for (const name of replaced.values()) {
          if (inPlace.has(name)) continue;
          const [before, after] = [arrayOf(this.#current, name), arrayOf(this.#spare, name)];
          this.#current.set(name, after);
          this.#spare.set(name, before);
        }
      },
    };
  }

  read(names: readonly string[]): Promise<ResidentArrays> {
    return Promise.resolve(new Map(names.map((name) => [name, arrayOf(this.#current, name).slice()])));
  }

  write(arrays: ResidentArrays): Promise<void> {
    for (const [name, values] of arrays) arrayOf(this.#current, name).set(values);
    return Promise.resolve();
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#compiled.splice(0).map((compiled) => compiled.dispose()));
  }
}

function arrayOf(arrays: ResidentArrays, name: string): Float32Array {
  const array = arrays.get(name);
  if (array === undefined) {
    throw new ConsiliumError("engine.run-failed", { detail: `(${name} is missing)`, culprits: [name] });
  }
  return array;
}
