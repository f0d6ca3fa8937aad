import { encode } from "fast-png";
import path from "node:path";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { writeFileAtomic } from "../../home/files.ts";
import { readModel } from "../../home/models.ts";
import { handle, siteCommand, wholeNumber } from "../context.ts";
import { chooseEngine, withEngineOptions, type EngineCliOptions } from "../engine-options.ts";
import type { CliPorts } from "../ports.ts";

interface Options extends EngineCliOptions {
  readonly cache: string;
  readonly count: number;
  readonly out: string;
}

export function reconstructCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "reconstruct",
    "Draw what the global model makes of hidden parts of images.",
    `Writes three PNG files for each image: as it is, with most patches hidden, and with the hidden patches as the model
guesses them; of a volume its middle slice. The pictures are of this site's patients: they are for this site only.`,
    `consilium-site reconstruct --count 8 --out pictures
     consilium-site reconstruct --cache test --count 4 --out pictures`,
  )
    .option("--cache <name>", "cache to take images from", "train")
    .option("--count <n>", "how many images, evenly spread over the cache", wholeNumber("--count", 1), 8)
    .requiredOption("--out <dir>", "folder for the pictures");
  return handle<Options>(withEngineOptions(command, ports), ports, async ({ options, output, openHome }) => {
    const home = await openHome();
    const { plan } = await home.joined();
    const model = await readModel(home, "global");
    const images = await chosenImages(
      home.cacheFolder(parseName("--cache", options.cache)),
      options.count,
      plan.model.channels,
    );
    const { createEngine } = await import("../../engine/engine.ts");
    const { reconstruct } = await import("../../pretext/reconstruct.ts");
    const engine = await createEngine(await chooseEngine(options, output));
    const drawn = await reconstruct(engine, { plan, weights: model.values, images, seed: plan.seed });
    const { sizePx, depthPx, channels, loss, meanPatchLoss } = drawn;
    const sliceBytes = sizePx ** 2 * channels;
    const middle = Math.floor(depthPx / 2) * sliceBytes;
    const files = drawn.images.map((image, i) => {
      const number = String(i + 1).padStart(3, "0");
      const kinds = ["original", "masked", "reconstructed"] as const;
      return kinds.map((kind) => ({
        name: `${number}-${kind}.png`,
        data: image[kind].subarray(middle, middle + sliceBytes),
      }));
    });
    for (const { name, data } of files.flat()) {
      const png = encode({ width: sizePx, height: sizePx, data, channels, depth: 8 });
      await writeFileAtomic(path.join(options.out, name), png);
    }
    output.result(
      {
        images: drawn.images.length,
        sizePx,
        loss,
        meanPatchLoss,
        files: files.map((set) => set.map(({ name }) => name)),
      },
      `${drawn.images.length} images, three pictures each. Error on hidden patches ${loss.toFixed(3)}; always guessing the mean patch gives ${meanPatchLoss.toFixed(3)}.`,
    );
  });
}

/** Images spread evenly over the cache, as uint8 [count, sizePx, sizePx, channels]. */
async function chosenImages(cacheDir: string, count: number, channels: number): Promise<Uint8Array> {
  const { openImageCache } = await import("../../dataset/cache.ts");
  const { readImages } = await import("../../dataset/batches.ts");
  const cache = await openImageCache(cacheDir);
  try {
    const chosen = Math.min(count, cache.records.length);
    const indices = Int32Array.from({ length: chosen }, (_, i) =>
      Math.floor((i * cache.records.length) / chosen),
    );
    return readImages(cache, indices, channels);
  } finally {
    cache.close();
  }
}
