/** Other programs that read the same files: pydicom in as many processes, and the toolkits' converters, a process a file. */
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import type { Kind } from "./ingest-files.ts";
import { LineProcess } from "./torch.ts";

const run = promisify(execFile);
const PEER = path.join(import.meta.dirname, "peers", "ingest_pydicom.py");

export const HOW_TO_ADD_PYDICOM =
  "pydicom was left out: set CONSILIUM_PYDICOM to a Python with its plug-ins (python3 -m venv DIR && DIR/bin/pip install pydicom numpy pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg)";

/** A Python that can import pydicom and its plug-ins, or null: CONSILIUM_PYDICOM, else python3. */
export async function findPydicom(): Promise<string | null> {
  const python = process.env.CONSILIUM_PYDICOM ?? "python3";
  try {
    await run(python, ["-c", "import pydicom, numpy, libjpeg, openjpeg"]);
    return python;
  } catch {
    return null;
  }
}

const helloSchema = z.object({ pydicom: z.string(), plugins: z.array(z.string()) });
const passSchema = z.object({ ms: z.number(), values: z.number() });

export class Pydicom {
  readonly hello: z.infer<typeof helloSchema>;
  readonly #process: LineProcess;

  private constructor(lines: LineProcess, hello: z.infer<typeof helloSchema>) {
    this.#process = lines;
    this.hello = hello;
  }

  static async start(python: string, processes: number): Promise<Pydicom> {
    const lines = new LineProcess(python, [PEER, String(processes)]);
    return new Pydicom(lines, helloSchema.parse(await lines.next()));
  }

  async read(paths: readonly string[], pixels: boolean): Promise<z.infer<typeof passSchema>> {
    return passSchema.parse(await this.#process.ask({ paths, pixels }));
  }

  end = (): Promise<void> => this.#process.end();
}

/** A toolkit's program that decodes one file into another. */
export interface Converter {
  readonly tool: string;
  readonly options: readonly string[];
  readonly kinds: readonly Kind[];
}

const CONVERTERS: readonly Converter[] = [
  { tool: "dcmj2pnm", options: ["+obt"], kinds: ["uncompressed", "jpeg-lossless"] },
  { tool: "gdcmconv", options: ["-w"], kinds: ["uncompressed", "jpeg-lossless", "jpeg-2000"] },
];

/** Those that are installed. */
export async function findConverters(): Promise<readonly Converter[]> {
  const found = await Promise.all(
    CONVERTERS.map(({ tool }) =>
      run(tool, ["--version"]).then(
        () => true,
        () => false,
      ),
    ),
  );
  return CONVERTERS.filter((_, i) => found[i]);
}

/** Decodes all files, `parallel` at a time. @returns milliseconds */
export async function convertAll(
  { tool, options }: Converter,
  paths: readonly string[],
  parallel: number,
): Promise<number> {
  const start = performance.now();
  const queue = [...paths];
  const lane = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift())
      await run(tool, [...options, file, `${file}.out`]);
  };
  await Promise.all(Array.from({ length: parallel }, lane));
  return performance.now() - start;
}
