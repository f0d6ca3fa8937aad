/** Predictions as a table (RFC 4180), one line an image or volume for classes and findings, one line a mask or box otherwise. */
import { stringify } from "csv-stringify/sync";
import type { TrainedTask } from "../downstream/trained-network.ts";
import type { Answer } from "./answer.ts";

export type Cells = readonly (string | number)[];

/** @param ofVolumes whether the network is asked about volumes */
export function tableHead(
  { task, classes }: Pick<TrainedTask, "task" | "classes">,
  ofVolumes = false,
): Cells {
  if (task === "classification") return ["file", "class", ...classes.map((name) => `p ${name}`)];
  if (task === "findings") return ["file", ...classes.map((name) => `p ${name}`)];
  if (task === "segmentation")
    return ["file", "class", ...(ofVolumes ? ["voxels", "volume_mm3"] : ["pixels", "area_mm2"])];
  return ["file", "class", "score", "x", "y", "width", "height"];
}

/** @param spacingUm from pixel to pixel, if the header says */
export function tableRows(
  file: string,
  answer: Answer,
  classes: readonly string[],
  spacingUm: number | undefined,
): readonly Cells[] {
  const name = (c: number): string => classes[c] ?? "";
  switch (answer.kind) {
    case "classes": {
      const { probabilities } = answer;
      const best = probabilities.reduce((top, p, c) => (p > (probabilities[top] ?? 0) ? c : top), 0);
      return [[file, name(best), ...probabilities.map((p) => p.toFixed(4))]];
    }
    case "findings":
      return [[file, ...answer.probabilities.map((p) => p.toFixed(4))]];
    case "masks":
      return answer.masks.map((mask, c) => {
        const pixels = countOf(mask);
        const area = spacingUm === undefined ? "" : (pixels * (spacingUm / 1000) ** 2).toFixed(1);
        return [file, name(c), pixels, area];
      });
    case "volume-masks":
      return Array.from({ length: answer.classes }, (_, c) => {
        const voxels = countOf(answer.maskOf(c));
        return [file, name(c), voxels, (voxels * answer.voxelMm3).toFixed(1)];
      });
    case "boxes":
      return answer.detections.map(({ class: c, score, left, top, right, bottom }) => [
        file,
        name(c),
        score.toFixed(4),
        ...[left, top, right - left, bottom - top].map((px) => px.toFixed(1)),
      ]);
  }
}

const countOf = (mask: Uint8Array): number => mask.reduce((sum, value) => sum + value, 0);

/** Cells that a spreadsheet would take for formulas are kept as text. */
export const csv = (rows: readonly Cells[]): string =>
  stringify(
    rows.map((row) => [...row]),
    { escape_formulas: true },
  );
