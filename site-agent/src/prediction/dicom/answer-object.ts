/** An answer as the DICOM object that fits it. */
import type { Answer, Looked } from "../answer.ts";
import type { Maker, SourceImage, Stamp } from "./object.ts";
import { writeReportObject } from "./report.ts";
import { writeSegmentationObject } from "./segmentation.ts";

export function answerObject(
  source: SourceImage,
  answer: Answer,
  { rows, columns, left = 0, top = 0 }: Looked,
  classes: readonly string[],
  maker: Maker,
  stamp: Stamp,
): Uint8Array {
  const name = (c: number): string => classes[c] ?? "";
  switch (answer.kind) {
    case "masks": {
      const masks = answer.masks.map((values, c) => ({ label: name(c), values, rows, columns, left, top }));
      return writeSegmentationObject(source, masks, maker, stamp);
    }
    case "boxes": {
      const findings = answer.detections.map((box) => ({
        label: name(box.class),
        confidence: box.score,
        box,
      }));
      return writeReportObject(source, findings, maker, stamp);
    }
    case "classes":
    case "findings": {
      const findings = answer.probabilities.map((p, c) => ({ label: name(c), confidence: p, box: null }));
      return writeReportObject(source, findings, maker, stamp);
    }
  }
}
