/** The encoder as ONNX: grey pixels in, tokens and features out, standardisation and positions inside. */
import type { Checkpoint } from "@consilium/shared/codec";
import { selectParameters } from "../downstream/encoder.ts";
import { portableOnnx } from "../engine/portable-onnx.ts";
import { pixelFeatures } from "../model/features.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";

/**
 * @param checkpoint encoder and possibly pretext heads, which are left out
 * @param batchSize images that go in at a time: the graph has no other
 * @throws manifest.mismatch if the checkpoint does not hold this encoder
 */
export function exportOnnx(
  config: VitConfig,
  checkpoint: Checkpoint,
  batchSize: number,
  origin: Readonly<Record<string, string>> = {},
): Uint8Array {
  const weights = selectParameters(vitParameters(config), checkpoint);
  return portableOnnx(pixelFeatures(config, batchSize), weights, origin);
}
