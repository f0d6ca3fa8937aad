/** Errors of training, and of models that come and go. */
import { entry, type ErrorEntry } from "./entry.ts";

export const LEARNING_ERRORS = {
  // Engine
  "engine.unsupported-op": entry(
    500,
    false,
    "The compiled engine has no kernel for this TensorFlow.js operation.",
    "Write it with supported operations, or add the kernel to site-agent/src/engine/tracer.",
  ),
  "engine.data-dependent": entry(
    500,
    false,
    "A traced value was read while tracing.",
    "Keep the computation in tensors (tf.where instead of if), or read it from an output of the step.",
  ),
  "engine.dynamic-shape": entry(
    500,
    false,
    "A shape is not known while tracing.",
    "Give every dimension as a number.",
  ),
  "engine.not-separable": entry(
    422,
    false,
    "The batch cannot be computed in equal parts.",
    "Choose a number of micro-batches or devices that divides the plan's batch size, or 1 for a task whose loss is no mean over examples.",
  ),
  "engine.compile-failed": entry(
    500,
    false,
    "ONNX Runtime refused the compiled graph.",
    "Run consilium-site doctor; report the operator named above.",
  ),
  "engine.run-failed": entry(
    500,
    false,
    "A compiled step failed.",
    "Run consilium-site doctor; try a smaller batch if memory is short.",
  ),
  "engine.replica-lost": entry(
    500,
    true,
    "One of several devices stopped in the middle of the training.",
    "Start again; if it repeats, leave that device out with a smaller --devices.",
  ),
  "engine.unavailable": entry(
    500,
    false,
    "This device cannot be used for training here.",
    "Run consilium-site doctor: it says what is missing and the command that brings it; or choose another --device.",
  ),
  "engine.replicas-differ": entry(
    500,
    false,
    "Devices that train together do not hold the same weights.",
    "Use devices of one kind and driver, or a single one with --devices 1.",
  ),
  "engine.no-half-precision": entry(
    500,
    false,
    "This device does not multiply in float16.",
    "Leave --precision out, or use a GPU of which consilium-site doctor says that it has float16.",
  ),
  "training.diverged": entry(
    500,
    false,
    "The loss is no longer a number.",
    "Lower the learning rate in the plan, or look at the site's images.",
  ),
  "training.no-images": entry(
    422,
    false,
    "There are not enough cached images to fill one batch.",
    "Run consilium-site ingest, or lower the batch size in the plan.",
  ),
  "training.not-approved": entry(
    409,
    false,
    "Too many of this site's files were set aside for training to begin.",
    "Look at the reasons that consilium-site ingest counts; mend the files and ingest again, or accept it with consilium-site approve.",
  ),
  "pretext.not-mae": entry(
    422,
    false,
    "The plan's pretext task is not masked autoencoding, so there is nothing hidden to restore.",
    "Leave this out, or use a plan with pretext.task mae.",
  ),

  // Models that come and go
  "model.of-volumes": entry(
    422,
    false,
    "The plan's encoder is one of volumes, and this is for images alone: boxes, and the exchange with timm.",
    "Learn classes, findings or masks of volumes; hand an encoder on with consilium-site export --format checkpoint; or use a plan with model.dimensions 2.",
  ),
  "weights.unreadable": entry(
    422,
    false,
    "The weights file cannot be read.",
    "Check that it is safetensors with float32, float16 or bfloat16 values, and copy it again.",
  ),
  "weights.foreign": entry(
    422,
    false,
    "The weights are not those of an encoder like the plan's.",
    "Give a Vision Transformer of the plan's width and depth, with timm's or Hugging Face's names, or choose model.size after the file.",
  ),
} as const satisfies Record<string, ErrorEntry>;
