/** Resident arrays in buffers of a GPU: a step reads and replaces them without a copy to the host. */
import type * as ort from "onnxruntime-node";
import type { NamedArrays } from "../arrays.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { sizeOf, type Graph, type NamedValue } from "../graph/ir.ts";
import {
  replacedBy,
  type Attempt,
  type ResidentArrays,
  type ResidentShapes,
  type Runnable,
  type Workspace,
} from "../runtime.ts";
import { required, runSession, toTensor } from "./ort-session.ts";

type Location = "cpu" | "gpu-buffer";

/** @param locations where each output is to be left */
export type OpenSession = (
  graph: Graph,
  locations: Readonly<Record<string, Location>>,
) => Promise<ort.InferenceSession>;

interface Prepared {
  readonly session: ort.InferenceSession;
  readonly inputs: readonly NamedValue[];
  /** Resident arrays by the outputs that replace them. */
  readonly replaced: ReadonlyMap<string, string>;
}

export class WebGpuWorkspace implements Workspace<Graph> {
  readonly #shapes: ResidentShapes;
  readonly #openSession: OpenSession;
  /** On the GPU. An array that was never written has none: it is zeros. */
  readonly #current = new Map<string, ort.Tensor>();
  /** What the last run would put in their place. */
  readonly #pending = new Map<string, ort.Tensor>();
  /** They own the buffers that they made, so all live as long as the workspace. */
  readonly #sessions: ort.InferenceSession[] = [];
  /** By direction and names. */
  readonly #transfers = new Map<string, ort.InferenceSession>();

  constructor(resident: ResidentShapes, openSession: OpenSession) {
    this.#shapes = resident;
    this.#openSession = openSession;
  }

  async prepare(graph: Graph): Promise<Runnable> {
    const replaced = new Map<string, string>();
    for (const { name } of graph.outputs) {
      const resident = replacedBy(name, this.#shapes);
      if (resident !== null) replaced.set(name, resident);
    }
    const session = await this.#open(graph, (name) => (replaced.has(name) ? "gpu-buffer" : "cpu"));
    const prepared = { session, inputs: graph.inputs, replaced };
    return { run: (inputs) => this.#run(prepared, inputs) };
  }

  async #run({ session, inputs: values, replaced }: Prepared, inputs: NamedArrays): Promise<Attempt> {
    this.#forgetPending();
    await this.#fillUnwritten(values.map(({ name }) => name));
    const feeds: Record<string, ort.Tensor> = {};
    for (const { name, value } of values) {
      feeds[name] = this.#current.get(name) ?? toTensor(name, required(inputs, name), value.shape);
    }
    const results = await runSession(() => session.run(feeds));
    const outputs = new Map<string, Float32Array>();
    for (const [name, tensor] of Object.entries(results)) {
      const resident = replaced.get(name);
      if (resident === undefined) outputs.set(name, tensor.data as Float32Array);
      else this.#pending.set(resident, tensor);
    }
    return {
      outputs,
      commit: () => {
        this.#replace(this.#pending);
        this.#pending.clear();
      },
    };
  }

  /** Tensor.getData() of a GPU buffer ends the process (ONNX Runtime 1.30); a session's output does not. */
  async read(names: readonly string[]): Promise<ResidentArrays> {
    if (names.length === 0) return new Map();
    await this.#fillUnwritten(names);
    const session = await this.#transfer(names, "cpu");
    const feeds = Object.fromEntries(names.map((name) => [name, required(this.#current, name)]));
    const results = await runSession(() => session.run(feeds));
    const arrays = names.map((name): [string, Float32Array] => {
      const tensor = required(new Map(Object.entries(results)), copyOf(name));
      return [name, tensor.data as Float32Array];
    });
    return new Map(arrays);
  }

  async write(arrays: ResidentArrays): Promise<void> {
    const names = [...arrays.keys()];
    if (names.length === 0) return;
    const session = await this.#transfer(names, "gpu-buffer");
    const feeds: Record<string, ort.Tensor> = {};
    for (const [name, values] of arrays) feeds[name] = toTensor(name, values, required(this.#shapes, name));
    const results = new Map(Object.entries(await runSession(() => session.run(feeds))));
    this.#replace(new Map(names.map((name) => [name, required(results, copyOf(name))])));
  }

  async dispose(): Promise<void> {
    this.#forgetPending();
    for (const tensor of this.#current.values()) tensor.dispose();
    this.#current.clear();
    this.#transfers.clear();
    for (const session of this.#sessions.splice(0)) await session.release();
  }

  #replace(tensors: ReadonlyMap<string, ort.Tensor>): void {
    for (const [name, tensor] of tensors) {
      this.#current.get(name)?.dispose();
      this.#current.set(name, tensor);
    }
  }

  #forgetPending(): void {
    for (const tensor of this.#pending.values()) tensor.dispose();
    this.#pending.clear();
  }

  async #fillUnwritten(names: readonly string[]): Promise<void> {
    const unwritten = names.filter((name) => this.#shapes.has(name) && !this.#current.has(name));
    await this.write(
      new Map(unwritten.map((name) => [name, new Float32Array(sizeOf(required(this.#shapes, name)))])),
    );
  }

  /** A session that does nothing but carry arrays to or from the GPU. */
  async #transfer(names: readonly string[], to: Location): Promise<ort.InferenceSession> {
    const key = [to, ...names].join(" ");
    const known = this.#transfers.get(key);
    if (known !== undefined) return known;
    const graph = new GraphBuilder();
    const outputs = names.map((name) => {
      const spec = { shape: required(this.#shapes, name), dtype: "float32" } as const;
      return { name: copyOf(name), value: graph.emit("Identity", [graph.input(name, spec)], spec) };
    });
    const session = await this.#open(graph.build(outputs), () => to);
    this.#transfers.set(key, session);
    return session;
  }

  async #open(graph: Graph, locationOf: (output: string) => Location): Promise<ort.InferenceSession> {
    const locations = Object.fromEntries(graph.outputs.map(({ name }) => [name, locationOf(name)]));
    const session = await this.#openSession(graph, locations);
    this.#sessions.push(session);
    return session;
  }
}

const copyOf = (name: string): string => `copy.${name}`;
