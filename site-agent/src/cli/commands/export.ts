import { ConsiliumError } from "@consilium/shared/errors";
import type { CheckpointRecord } from "@consilium/shared/protocol/round";
import { formatBytes } from "@consilium/shared/units";
import { Option, type Command } from "commander";
import { readTextIfPresent, writeFileAtomic } from "../../home/files.ts";
import { readModel, type ModelName } from "../../home/models.ts";
import { handle, siteCommand, wholeNumber } from "../context.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly format: "safetensors" | "onnx" | "checkpoint";
  readonly out: string;
  readonly from: ModelName;
  readonly batch: number;
  readonly licence?: string;
  readonly results?: string;
}

export function exportCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "export",
    "Write the encoder to a file for other programs.",
    `safetensors has the names and shapes of timm's VisionTransformer. onnx takes grey pixels and gives features, for ONNX
Runtime and what else reads ONNX. Beside either, FILE.json says how to build and feed the network, and FILE.md is a model card
for people: how it was trained, what it was tested on, where it comes from, what it may be used for. checkpoint is the
federation's own format, byte for byte as it was signed.`,
    `consilium-site export --out encoder.safetensors --licence CC-BY-NC-4.0
     consilium-site export --format onnx --batch 8 --out encoder.onnx
     consilium-site finetune --test test --json > results.ndjson
     consilium-site export --out encoder.safetensors --results results.ndjson
     consilium-site export --format checkpoint --out global.ckpt
     consilium-site export --from own --out own.safetensors`,
  )
    .addOption(
      new Option("--format <format>", "file format")
        .choices(["safetensors", "onnx", "checkpoint"])
        .default("safetensors"),
    )
    .addOption(new Option("--from <encoder>", "which encoder").choices(["global", "own"]).default("global"))
    .option("--batch <n>", "onnx: images that go in at a time", wholeNumber("--batch", 1), 1)
    .option("--licence <name>", "what the card says of it, for example an SPDX name (default: not stated)")
    .option("--results <file>", "what finetune --json printed, for the card's table (default: none)")
    .requiredOption("--out <file>", "file to write");
  return handle<Options>(command, ports, async ({ options, output, openHome }) => {
    const { format, from, out, batch } = options;
    const home = await openHome();
    const model = await readModel(home, from);
    if (format === "checkpoint") {
      await writeFileAtomic(out, model.bytes);
      output.result(
        { format, from, checkpoint: model.sha256, bytes: model.bytes.length },
        `Written: ${formatBytes(model.bytes.length)}, sha256 ${model.sha256}.${averageText(model.record)}`,
      );
      return;
    }
    const { plan } = await home.joined();
    const { vitConfig } = await import("../../model/sizes.ts");
    const { modelCard, describeCard, originOf } = await import("../../export/card.ts");
    const config = vitConfig(plan.model);
    const source = { checkpoint: model.sha256, record: model.record };
    const origin = originOf(source);
    const bytes =
      format === "onnx"
        ? (await import("../../export/onnx.ts")).exportOnnx(config, model, batch, origin)
        : (await import("../../export/timm.ts")).exportTimm(config, model, origin);
    const card = modelCard({
      config,
      plan,
      ...source,
      licence: options.licence ?? null,
      evaluation: await evaluationIn(options.results),
    });
    await writeFileAtomic(out, bytes);
    await writeFileAtomic(`${out}.json`, `${JSON.stringify(card, null, 2)}\n`);
    await writeFileAtomic(`${out}.md`, describeCard(card, format));
    output.result(
      { format, from, checkpoint: model.sha256, bytes: bytes.length, card },
      `Written: ${formatBytes(bytes.length)}, with a card beside it for programs (.json) and one for people (.md).${averageText(model.record)}
  ${LOADING[format]}`,
    );
  });
}

/** Which of the federation's models it is, if not the last. */
const averageText = (record: CheckpointRecord | null): string =>
  record?.average === undefined
    ? ""
    : `\n  weights      the running average of ${record.average.models} global models, as the plan asks for`;

const LOADING = {
  safetensors:
    'load it      timm.models.vision_transformer.VisionTransformer(**card["timm"]).load_state_dict(load_file(FILE))',
  onnx: 'load it      onnxruntime.InferenceSession(FILE).run(["features"], {"pixels": PIXELS})',
} as const;

/** @throws config.invalid */
async function evaluationIn(file: string | undefined) {
  if (file === undefined) return null;
  const text = await readTextIfPresent(file);
  if (text === null) {
    throw new ConsiliumError("config.invalid", {
      detail: "(--results: there is no such file)",
      culprits: ["results"],
    });
  }
  const { readEvaluation } = await import("../../export/evaluation.ts");
  return readEvaluation(text);
}
