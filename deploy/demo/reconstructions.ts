/** Reads the pictures that `consilium-site reconstruct` writes. */
import { join } from "node:path";
import { pngDataUrl } from "./folders.ts";
import type { DemoReport } from "./report/types.ts";
import { siteIdSchema } from "@consilium/shared/ids";

type Reconstruction = DemoReport["reconstructions"][number];

const KINDS = ["original", "masked", "reconstructed"] as const;

/** @param names of the files in `folder`; three belong together if they differ in the kind alone */
export async function readReconstructions(
  site: string,
  folder: string,
  names: readonly string[],
): Promise<Reconstruction> {
  const originals = names.filter((name) => name.includes("original") && name.endsWith(".png")).sort();
  const images = await Promise.all(
    originals.map(async (name) => {
      const [original = "", masked = "", reconstructed = ""] = await Promise.all(
        KINDS.map((kind) => pngDataUrl(join(folder, name.replace("original", kind)))),
      );
      return { original, masked, reconstructed };
    }),
  );
  return { site: siteIdSchema.parse(site), images };
}
