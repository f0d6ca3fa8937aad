/** PyTorch as a process of its own that runs the same step (peers/mae_torch.py), asked line by line. */
import { execFile, spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { z } from "zod";
import type { Contestant, StepTaken } from "./contestant.ts";
import { writeTorchFiles } from "./torch-files.ts";
import type { Workload } from "./workload.ts";

const PEER = path.join(import.meta.dirname, "peers", "mae_torch.py");

export interface TorchOptions {
  readonly python: string;
  readonly threads: number;
  readonly device: "cpu" | "cuda";
  readonly dtype: "fp32" | "tf32" | "bf16";
  /** `auto` measures both quick forms first, which takes memory. */
  readonly optimizer: "auto" | "fused" | "foreach";
}

export const HOW_TO_ADD_TORCH =
  "PyTorch was left out: set CONSILIUM_PYTHON to a Python that can import torch (python3 -m venv DIR && DIR/bin/pip install torch)";

/** A Python that can import torch, or null: CONSILIUM_PYTHON, else python3. */
export async function findTorch(): Promise<string | null> {
  const python = process.env.CONSILIUM_PYTHON ?? "python3";
  try {
    await promisify(execFile)(python, ["-c", "import torch"]);
    return python;
  } catch {
    return null;
  }
}

const helloSchema = z.object({
  torch: z.string(),
  optimizer: z.string(),
  device: z.string(),
  idleRssBytes: z.number(),
});
const stepSchema = z.object({
  loss: z.number(),
  ms: z.number(),
  peakRssBytes: z.number(),
  peakDeviceBytes: z.number(),
  processMs: z.number(),
});
const productSchema = z.object({ ms: z.array(z.number()), processMs: z.number() });
const profileSchema = z.object({
  operators: z.array(
    z.object({
      name: z.string(),
      /** Of the inputs; [] for one that is no tensor. */
      shapes: z.array(z.array(z.unknown())),
      ms: z.number(),
      calls: z.number(),
    }),
  ),
});
export type TorchOperator = z.infer<typeof profileSchema>["operators"][number];

export class TorchPeer implements Contestant {
  readonly name: string;
  readonly hello: z.infer<typeof helloSchema>;
  /** Highest resident memory, and highest memory on the device, up to the last step. */
  peakRssBytes = 0;
  peakDeviceBytes = 0;
  #processMs = 0;
  readonly #process: LineProcess;
  readonly #folder: string;

  private constructor(
    lines: LineProcess,
    folder: string,
    hello: z.infer<typeof helloSchema>,
    { device, dtype }: TorchOptions,
  ) {
    this.#process = lines;
    this.#folder = folder;
    this.hello = hello;
    this.name = device === "cpu" ? "PyTorch" : `PyTorch ${dtype}`;
  }

  static async start(work: Workload, options: TorchOptions): Promise<TorchPeer> {
    const folder = await mkdtemp(path.join(os.tmpdir(), "consilium-bench-"));
    await writeTorchFiles(folder, work);
    const { python, threads, device, dtype, optimizer } = options;
    const lines = new LineProcess(python, [
      ...[PEER, folder, "--threads", String(threads), "--device", device],
      ...["--dtype", dtype, "--optimizer", optimizer],
    ]);
    try {
      return new TorchPeer(lines, folder, helloSchema.parse(await lines.next()), options);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  static async seesGpu(python: string): Promise<boolean> {
    const script = "import torch; raise SystemExit(0 if torch.cuda.is_available() else 1)";
    return promisify(execFile)(python, ["-c", script]).then(
      () => true,
      () => false,
    );
  }

  step = async (): Promise<StepTaken> => {
    const { loss, ms, peakRssBytes, peakDeviceBytes, processMs } = stepSchema.parse(
      await this.#process.ask({ do: "step" }),
    );
    this.#processMs = processMs;
    this.peakRssBytes = peakRssBytes;
    this.peakDeviceBytes = peakDeviceBytes;
    return { loss, ms };
  };

  processMs = (): number => this.#processMs;

  /** Milliseconds of square matrix products. */
  async product(side: number, repeats: number): Promise<readonly number[]> {
    const { ms, processMs } = productSchema.parse(await this.#process.ask({ do: "product", side, repeats }));
    this.#processMs = processMs;
    return ms;
  }

  /** Own time of each operator in one step, by the shapes of its inputs. */
  async profile(): Promise<readonly TorchOperator[]> {
    return profileSchema.parse(await this.#process.ask({ do: "profile" })).operators;
  }

  dispose = async (): Promise<void> => {
    await this.#process.end();
    await rm(this.#folder, { recursive: true, force: true });
  };
}

/** A process that answers each line of JSON with one. What it says on stderr is passed on. */
export class LineProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  readonly #closed: Promise<void>;

  constructor(command: string, args: readonly string[]) {
    // Without it the profiler announces itself on stderr.
    this.#child = spawn(command, args, { env: { ...process.env, KINETO_LOG_LEVEL: "99" } });
    this.#child.stderr.pipe(process.stderr);
    this.#closed = new Promise((resolve) =>
      this.#child.once("close", () => {
        resolve();
      }),
    );
    this.#answers = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  async next(): Promise<unknown> {
    const answer = await this.#answers.next();
    if (answer.done === true) throw new Error("the peer ended early; its own message is above");
    return JSON.parse(answer.value) as unknown;
  }

  ask(question: object): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    return this.next();
  }

  async end(): Promise<void> {
    this.#child.stdin.end();
    await this.#closed;
  }
}
