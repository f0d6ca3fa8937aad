import { ConsiliumError } from "@consilium/shared/errors";
import { encodeCheckpoint } from "@consilium/shared/codec";
import type { Command } from "commander";
import { readIfPresent, writeFileAtomic } from "../../home/files.ts";
import { storeOwnModel } from "../../home/models.ts";
import { handle, siteCommand } from "../context.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly out?: string;
}

export function importCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "import",
    "Take another program's encoder as one to start from.",
    `Reads safetensors with the names of timm, of facebookresearch/mae or of Hugging Face's ViT and ViT-MAE. Width and depth
must be the plan's; other channels and sizes of patches are adapted, and what was changed is said. Without --out the
encoder becomes this site's own one (finetune --from own); with --out it is written as a checkpoint of the plan's model.`,
    `consilium-site import vit-mae-base.safetensors
     consilium-site import encoder.safetensors --out start.ckpt`,
  )
    .argument("<file>", "safetensors file")
    .option("--out <file>", "write a checkpoint instead of keeping it as this site's own encoder");
  return handle<Options>(command, ports, async ({ options, output, openHome }, file = "") => {
    const home = await openHome();
    const { plan } = await home.joined();
    const bytes = await readIfPresent(file);
    if (bytes === null) {
      throw new ConsiliumError("config.invalid", { detail: "(there is no such file)", culprits: ["file"] });
    }
    const { decodeSafetensors } = await import("../../export/safetensors.ts");
    const { adaptEncoder, withEncoder } = await import("../../export/adapt.ts");
    const { genesis } = await import("../../training/genesis.ts");
    const { vitConfig } = await import("../../model/sizes.ts");
    const { checkpoint, changes } = adaptEncoder(vitConfig(plan.model), decodeSafetensors(bytes));
    const model = withEncoder(genesis(plan), checkpoint);
    for (const change of changes) output.event("adapted", { change }, `adapted: ${change}`);
    if (options.out !== undefined) {
      const written = encodeCheckpoint(model);
      await writeFileAtomic(options.out, written);
      output.result({ kept: "file", bytes: written.length, changes }, "Written as a checkpoint.");
      return;
    }
    const hash = await storeOwnModel(home, model);
    output.result(
      { kept: "own", checkpoint: hash, changes },
      `Kept as this site's own encoder, sha256 ${hash}. Next: consilium-site finetune --from own,scratch`,
    );
  });
}
