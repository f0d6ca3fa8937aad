/** What fine-tuning made, as a network to ask: the forward pass of every task. */
import type { Checkpoint } from "@consilium/shared/codec";
import { ConsiliumError } from "@consilium/shared/errors";
import type { InferenceDefinition, Parameter } from "../engine/types.ts";
import { vitParameters } from "../model/vit.ts";
import { classifierInference, classifierParameters } from "./classifier.ts";
import { selectParameters } from "./encoder.ts";
import { findingsInference } from "./findings/network.ts";
import { localizationInference } from "./localization/kind.ts";
import { localizationParameters } from "./localization/network.ts";
import { segmentationInference } from "./segmentation/kind.ts";
import { segmentationParameters, type SegmentationHead } from "./segmentation/network.ts";
import type { DownstreamTask } from "./types.ts";
import type { ViewInputs, ViewOptions } from "./views.ts";

export interface TrainedTask {
  readonly task: DownstreamTask;
  /** Names in the order of the outputs. */
  readonly classes: readonly string[];
  /** What makes masks of tokens; null for other tasks. */
  readonly head: SegmentationHead | null;
}

export interface TrainedNetwork {
  readonly definition: InferenceDefinition<ViewInputs>;
  /** Flat, in the order of the definition's parameters. */
  readonly weights: Float32Array;
}

/** @throws manifest.mismatch if the checkpoint holds another network */
export function trainedNetwork(
  trained: TrainedTask,
  checkpoint: Checkpoint,
  options: ViewOptions,
): TrainedNetwork {
  const definition = taskInference(trained, options);
  return { definition, weights: selectParameters(definition.parameters, checkpoint) };
}

/** Its parameters are encoder and head, as fine-tuning keeps them. @throws manifest.mismatch without the head of masks */
export function taskInference(
  { task, classes, head }: TrainedTask,
  options: ViewOptions,
): InferenceDefinition<ViewInputs> {
  const { config } = options;
  const withHead = (parameters: readonly Parameter[]) => [...vitParameters(config), ...parameters];
  switch (task) {
    case "classification":
      return classifierInference({ ...options, classes: classes.length });
    case "findings":
      return findingsInference(options, classifierParameters(config, classes.length, 1));
    case "segmentation": {
      if (head === null) throw new ConsiliumError("manifest.mismatch", { culprits: ["head"] });
      const parameters = withHead(segmentationParameters(config, head, classes.length));
      return segmentationInference(options, head, classes, parameters);
    }
    case "localization":
      return localizationInference(options, withHead(localizationParameters(config, classes.length)));
  }
}
