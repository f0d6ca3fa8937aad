/** An answer as the DICOM object that fits it. */
import type { Answer, Looked } from "../answer.ts";
import type { Maker, SourceImage, Stamp } from "./object.ts";
import { writeReportObject, type Finding } from "./report.ts";
import { writeSegmentationObject } from "./segmentation.ts";
import { writeVolumeSegmentation } from "./volume-segmentation.ts";
import type { SourceVolume } from "./volume.ts";

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
    case "findings":
      return writeReportObject(source, ofWhole(answer.probabilities, classes), maker, stamp);
    case "volume-masks":
      throw new Error("masks of a volume on one image");
  }
}

/** Refers to every image of the series. */
export function volumeAnswerObject(
  source: SourceVolume,
  answer: Answer,
  classes: readonly string[],
  maker: Maker,
  stamp: Stamp,
): Uint8Array {
  switch (answer.kind) {
    case "volume-masks":
      return writeVolumeSegmentation(source, classes, answer.maskOf, maker, stamp);
    case "classes":
    case "findings": {
      const findings = ofWhole(answer.probabilities, classes);
      return writeReportObject(source.first, findings, maker, stamp, source.references);
    }
    case "masks":
    case "boxes":
      throw new Error("an image's answer on a series");
  }
}

const ofWhole = (probabilities: readonly number[], classes: readonly string[]): readonly Finding[] =>
  probabilities.map((p, c) => ({ label: classes[c] ?? "", confidence: p, box: null }));
