import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { writeFileAtomic } from "../../home/files.ts";
import { handle, siteCommand, wholeNumber } from "../context.ts";
import { plannedImages } from "../planned-images.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly cache: string;
  readonly count: number;
  readonly seed?: number;
  readonly out: string;
}

export function previewCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "preview",
    "Show random cached images on a page, for a human eye.",
    `Writes one HTML file that opens from the disk and needs nothing else: images as training sees them, grouped by
modality, with technical facts and a histogram each. Look for text in the pictures, inverted images and parts of the
body that do not belong. The file holds pictures of patients: only your account can read it, and it stays at this site.`,
    `consilium-site preview
     consilium-site preview --cache test --count 60 --out test.html
     consilium-site preview --seed 7`,
  )
    .option("--cache <name>", "cache to take images from", "train")
    .option("--count <n>", "images of each modality, at most", wholeNumber("--count", 1), 24)
    .option("--seed <n>", "draw the images of an earlier page again", wholeNumber("--seed", 0))
    .option("--out <file>", "file to write", "preview.html");
  return handle<Options>(command, ports, async ({ options, output, openHome }) => {
    const home = await openHome();
    const { site } = await home.readConfig();
    const cacheName = parseName("--cache", options.cache);
    const { openImageCache } = await import("../../dataset/cache.ts");
    const { samplePreview } = await import("../../preview/sample.ts");
    const { renderPreview } = await import("../../preview/page.ts");
    const seed = options.seed ?? Buffer.from(ports.random(3)).readUIntBE(0, 3);
    const cache = await openImageCache(home.cacheFolder(cacheName));
    try {
      const groups = samplePreview(cache, options.count, seed);
      const { sizePx } = cache;
      const { profile } = await plannedImages(home, sizePx);
      await writeFileAtomic(
        options.out,
        renderPreview({ site, cache: cacheName, sizePx, profile, seed, groups }),
      );
      const shown = groups.reduce((sum, { images }) => sum + images.length, 0);
      output.result(
        {
          images: shown,
          total: cache.records.length,
          seed,
          groups: groups.map(({ modality, total, images }) => ({ modality, total, images: images.length })),
        },
        `${shown} of ${cache.records.length} images are on the page. It holds pictures of patients: it stays at this site.
  next         open it in a browser, look, and delete it`,
      );
    } finally {
      cache.close();
    }
  });
}
