/** Exported encoders in the programs that they are exported for: timm, ONNX and ONNX Runtime, all in Python. */
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { vectorLength } from "@consilium/shared/manifest";
import { describe, expect, it } from "vitest";
import { exportOnnx } from "../../site-agent/src/export/onnx.ts";
import { encoderCard, exportTimm } from "../../site-agent/src/export/timm.ts";
import { initialWeights } from "../../site-agent/src/model/initial-weights.ts";
import { manifestOf } from "../../site-agent/src/model/manifest.ts";
import { vitConfig } from "../../site-agent/src/model/sizes.ts";
import { vitParameters } from "../../site-agent/src/model/vit.ts";

const python = process.env.CONSILIUM_PYTHON ?? "python3";
const importable =
  spawnSync(python, ["-c", "import timm, torch, onnx, onnxruntime, safetensors"]).status === 0;
const MISSING = importable
  ? ""
  : " (skipped: CONSILIUM_PYTHON, else python3, cannot import timm, torch, onnx, onnxruntime and safetensors)";

describe("in Python", () => {
  it.skipIf(!importable)(
    `an exported encoder loads whole and gives the same features${MISSING}`,
    async () => {
      const folder = await mkdtemp(path.join(tmpdir(), "consilium-interop-"));
      try {
        const config = vitConfig({ size: "nano", imagePx: 64, patchPx: 8, channels: 2 });
        const parameters = vitParameters(config);
        const manifest = manifestOf(parameters);
        const values = initialWeights(parameters, 1);
        expect(values).toHaveLength(vectorLength(manifest));
        const file = (ending: string) => path.join(folder, `encoder.${ending}`);
        await writeFile(file("onnx"), exportOnnx(config, { manifest, values }, 2));
        await writeFile(file("safetensors"), exportTimm(config, { manifest, values }));
        await writeFile(file("safetensors.json"), JSON.stringify(encoderCard(config)));
        const script = path.join(import.meta.dirname, "encoder.py");
        const { stdout } = await promisify(execFile)(python, [script, folder]);
        const found = JSON.parse(stdout) as { difference: number; largest: number };
        expect(found).toMatchObject({ missing: [], unexpected: [], domains: [""] });
        expect(found.largest).toBeGreaterThan(0.1);
        expect(found.difference).toBeLessThan(1e-4);
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );
});
