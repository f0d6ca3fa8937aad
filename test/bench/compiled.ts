/** This project's own step on each device, and the rate of plain matrix products there. */
import { ConsiliumError } from "@consilium/shared/errors";
import { Random } from "../../site-agent/src/dataset/random.ts";
import { createEngine } from "../../site-agent/src/engine/engine.ts";
import * as tf from "../../site-agent/src/engine/tf.ts";
import type { Engine } from "../../site-agent/src/engine/types.ts";
import { timed, type Contestant } from "./contestant.ts";
import { median } from "./statistics.ts";
import { LEARNING_RATE, type Workload } from "./workload.ts";

export const DEVICES = ["cpu", "webgpu", "cuda"] as const;
export type Device = (typeof DEVICES)[number];

/** @returns the engine, or why there is none */
export async function engineOn(device: Device, threads: number): Promise<Engine | string> {
  try {
    return await createEngine({ threads, device });
  } catch (error) {
    return `${device} was left out: ${reason(error)}`;
  }
}

/** What an engine that does not come up says; a mistake in the benchmark itself is thrown on. */
export function reason(error: unknown): string {
  if (error instanceof ConsiliumError) return error.message;
  throw error;
}

/** @throws engine.* */
export async function startCompiled(
  engine: Engine,
  { definition, weights, batch }: Workload,
): Promise<Contestant> {
  const step = await engine.compileTrainStep(definition);
  await step.writeWeights(weights);
  return {
    name: engine.name,
    step: async () => {
      const { result, ms } = await timed(() => step.run(batch, LEARNING_RATE));
      return { loss: result.loss, ms };
    },
    dispose: () => step.dispose(),
  };
}

const CPU_SIDES = [512, 1024, 1536, 2048];
const GPU_SIDES = [512, 1024, 2048, 4096];
/** Products one after the other in one run, so that what goes in and out does not count on a GPU. */
const CHAIN = { cpu: 1, gpu: 8 } as const;
const RUNS_A_TURN = 2;
/** Larger products than the first that takes longer are left out: on a software GPU they take minutes. */
const LONGEST_PRODUCT_MS = 1000;

/** Milliseconds of one turn's runs, by size. */
export type ProductTurn = readonly (readonly number[])[];

/** Square matrix products of several sizes: the best rate among them is the machine's limit. */
export class Products {
  readonly #products: readonly Product[];

  private constructor(products: readonly Product[]) {
    this.#products = products;
  }

  static async start(engine: Engine): Promise<Products> {
    const onCpu = engine.name.endsWith("cpu");
    const sides = onCpu ? CPU_SIDES : GPU_SIDES;
    const chain = onCpu ? CHAIN.cpu : CHAIN.gpu;
    const products: Product[] = [];
    for (const side of sides) {
      const product = await startProduct(engine, side, chain);
      products.push(product);
      if ((await timed(product.run)).ms > LONGEST_PRODUCT_MS) break;
    }
    return new Products(products);
  }

  async turn(): Promise<ProductTurn> {
    const turn: number[][] = [];
    for (const { run } of this.#products) {
      const times: number[] = [];
      for (let i = 0; i < RUNS_A_TURN; i++) times.push((await timed(run)).ms);
      turn.push(times);
    }
    return turn;
  }

  /** GFLOP/s at the best size: of its median run and of its fastest. */
  rates(turns: readonly ProductTurn[]): { readonly median: number; readonly best: number } {
    const bySize = this.#products.map(({ flops }, size) => {
      const times = turns.flatMap((turn) => turn[size] ?? []);
      return { median: flops / (median(times) * 1e6), best: flops / (Math.min(...times) * 1e6) };
    });
    return {
      median: Math.max(...bySize.map((rate) => rate.median)),
      best: Math.max(...bySize.map((rate) => rate.best)),
    };
  }

  async dispose(): Promise<void> {
    for (const { dispose } of this.#products) await dispose();
  }
}

interface Product {
  readonly flops: number;
  readonly run: () => Promise<unknown>;
  readonly dispose: () => Promise<void>;
}

async function startProduct(engine: Engine, side: number, chain: number): Promise<Product> {
  const shape = [side, side];
  const product = await engine.compileInference({
    parameters: [{ name: "b", shape, decay: false, learningRateScale: 0 }],
    inputs: { a: { shape, dtype: "float32" } },
    forward: (weights, { a }) => {
      let x = a;
      for (let i = 0; i < chain; i++) x = tf.matMul(x, weights.get("b") ?? a);
      return { corner: tf.slice(x, [0, 0], [1, 1]) };
    },
  });
  const random = new Random(2);
  // Of this size, a chain of products neither grows nor vanishes.
  const limit = Math.sqrt(3 / side);
  const matrix = (): Float32Array =>
    Float32Array.from({ length: side ** 2 }, () => (2 * random.uniform() - 1) * limit);
  await product.writeWeights(matrix());
  const a = matrix();
  return {
    flops: 2 * side ** 3 * chain,
    run: () => product.run({ a }),
    dispose: () => product.dispose(),
  };
}
