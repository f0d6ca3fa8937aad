/** Flower's SecAgg+ on the same vector: its own client and server functions, in its own process. */
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { z } from "zod";

const run = promisify(execFile);
const PEER = path.join(import.meta.dirname, "peers", "secagg_flower.py");

export const HOW_TO_ADD_FLOWER =
  "Flower was left out: set CONSILIUM_PYTHON to a Python that can import flwr (python3 -m venv DIR && DIR/bin/pip install flwr)";

const findingsSchema = z.object({
  flower: z.string(),
  /** Processor time for one site's quantised and masked vector. */
  siteSeconds: z.number(),
  /** Processor time for one mask taken off the sum. */
  maskSeconds: z.number(),
  sentBytes: z.number(),
});

/** Null where there is no Python with Flower: CONSILIUM_PYTHON, else python3. */
export async function flowerSecagg(
  parameters: number,
  sites: number,
): Promise<z.infer<typeof findingsSchema> | null> {
  const python = process.env["CONSILIUM_PYTHON"] ?? "python3";
  try {
    await run(python, ["-c", "import flwr, numpy"]);
  } catch {
    return null;
  }
  const { stdout } = await run(python, [PEER, String(parameters), String(sites)]);
  return findingsSchema.parse(JSON.parse(stdout));
}
