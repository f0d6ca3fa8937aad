/** A workload as files for the PyTorch peer: raw little-endian arrays and an index.json that names them. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { sinCosPositions } from "../../site-agent/src/model/positions.ts";
import { gridSize } from "../../site-agent/src/model/sizes.ts";
import { maeConfig } from "../../site-agent/src/pretext/mae.ts";
import { LEARNING_RATE, type Workload } from "./workload.ts";

interface Entry {
  readonly file: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** Weights are flat in the order of `parameters`; matrices in them are [in, out]. */
export async function writeTorchFiles(folder: string, work: Workload): Promise<void> {
  const { definition, weights, batch, plan } = work;
  const config = maeConfig(plan);
  const { encoder, decoder, visible, normPixLoss } = config;
  const grid = gridSize(encoder);

  const write = async (
    name: string,
    dtype: string,
    shape: readonly number[],
    values: Float32Array | Int32Array | Uint8Array,
  ): Promise<Entry> => {
    const file = `${name}.raw`;
    await writeFile(path.join(folder, file), values);
    return { file, dtype, shape };
  };
  const positions = (name: string, width: number): Promise<Entry> =>
    write(name, "float32", [grid * grid, width], sinCosPositions(grid, width));

  const inputs: Record<string, Entry> = {};
  for (const name of Object.keys(batch) as (keyof typeof batch)[]) {
    const { dtype, shape } = definition.inputs[name];
    inputs[name] = await write(name, dtype, shape, batch[name]);
  }
  const index = {
    encoder,
    decoder,
    visible,
    normPixLoss,
    optimizer: definition.optimizer,
    learningRate: LEARNING_RATE,
    parameters: definition.parameters.map(({ name, shape, decay }) => ({ name, shape, decay })),
    weights: await write("weights", "float32", [weights.length], weights),
    positions: await positions("positions", encoder.width),
    decoderPositions: await positions("decoder-positions", decoder.width),
    inputs,
  };
  await writeFile(path.join(folder, "index.json"), JSON.stringify(index));
}
