import { formatBytes } from "@consilium/shared/units";
import { Option, type Command } from "commander";
import type { HeldModel } from "../../home/models.ts";
import { readModel, type ModelName } from "../../home/models.ts";
import { writeFileAtomic } from "../../home/files.ts";
import { handle, siteCommand } from "../context.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly format: "safetensors" | "checkpoint";
  readonly out: string;
  readonly from: ModelName;
}

export function exportCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "export",
    "Write the encoder to a file for other programs.",
    `safetensors has the names and shapes of timm's VisionTransformer, and a JSON card beside it says how to build and feed
the network. checkpoint is the federation's own format, byte for byte as it was signed.`,
    `consilium-site export --out encoder.safetensors
     consilium-site export --format checkpoint --out global.ckpt
     consilium-site export --from own --out own.safetensors`,
  )
    .addOption(
      new Option("--format <format>", "file format")
        .choices(["safetensors", "checkpoint"])
        .default("safetensors"),
    )
    .addOption(new Option("--from <encoder>", "which encoder").choices(["global", "own"]).default("global"))
    .requiredOption("--out <file>", "file to write");
  return handle<Options>(command, ports, async ({ options, output, openHome }) => {
    const { format, from, out } = options;
    const home = await openHome();
    const model = await readModel(home, from);
    if (format === "checkpoint") {
      await writeFileAtomic(out, model.bytes);
      output.result(
        { format, from, checkpoint: model.sha256, bytes: model.bytes.length },
        `Written: ${formatBytes(model.bytes.length)}, sha256 ${model.sha256}.`,
      );
      return;
    }
    const { plan } = await home.joined();
    const { exportEncoder } = await import("../../export/timm.ts");
    const { vitConfig } = await import("../../model/sizes.ts");
    const { safetensors, card } = exportEncoder(vitConfig(plan.model), model, originOf(model));
    await writeFileAtomic(out, safetensors);
    await writeFileAtomic(`${out}.json`, `${JSON.stringify(card, null, 2)}\n`);
    output.result(
      { format, from, checkpoint: model.sha256, bytes: safetensors.length, card },
      `Written: ${formatBytes(safetensors.length)} of weights, and a JSON card beside them.
  load it      timm.models.vision_transformer.VisionTransformer(**card["timm"]).load_state_dict(load_file(FILE))`,
    );
  });
}

/** Strings only: what a safetensors file can carry. */
function originOf({ sha256, record }: HeldModel): Readonly<Record<string, string>> {
  const checkpoint = { checkpoint: sha256 };
  if (record === null) return { ...checkpoint, trained: "at one site" };
  return {
    ...checkpoint,
    trained: "by a federation",
    federation: record.federation,
    round: String(record.round),
    plan: record.planHash,
  };
}
