/** The federation's own network, where its plan taught one: it is asked as it is, and nothing is trained. */
import { assertLength } from "@consilium/shared/vector";
import type { Parameter } from "../engine/types.ts";
import { manifestOf } from "../model/manifest.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { selectParameters } from "./encoder.ts";
import { joinWeights } from "./layers.ts";
import type { DownstreamMode, EncoderOrigin, EncoderSources, FinetuneOptions } from "./types.ts";

/** What is not trained has no seeds, and the federation alone has released it. */
export function runsOf(from: EncoderOrigin, mode: DownstreamMode, { seeds }: FinetuneOptions): number {
  if (mode !== "released") return seeds;
  return from === "global" ? 1 : 0;
}

/**
 * @param parameters encoder, then head
 * @throws manifest.mismatch if the global model has no such head, frame.wrong-length if this site has another
 */
export function releasedWeights(
  parameters: readonly Parameter[],
  config: VitConfig,
  { global, head = null }: EncoderSources,
): Float32Array {
  if (global === null) throw new Error("nothing was released");
  const weights =
    head === null
      ? selectParameters(parameters, global)
      : joinWeights(selectParameters(vitParameters(config), global), head);
  assertLength(manifestOf(parameters), weights);
  return weights;
}
