/** The report's curves: all encoders in one picture each, of their first seed. */
import { lineChart } from "@consilium/shared/page/charts";
import { markup, type Markup } from "@consilium/shared/page/markup";
import { rateChart, type RateLine } from "@consilium/shared/page/square-charts";
import { MODE_TEXT, ORIGIN_TEXT } from "../describe.ts";
import type {
  ClassificationResult,
  Curve,
  FinetuneDetail,
  FinetuneResult,
  MeasuredResult,
} from "../types.ts";
import { intervalText, legend, lineOf, ORIGIN_CLASS, section, words } from "./names.ts";

export function curveSections(result: FinetuneResult): readonly (Markup | null)[] {
  const own = result.task === "classification" ? classCurves(result) : measuredCurves(result);
  return [...own, lossSection(result)];
}

function classCurves(result: ClassificationResult): readonly Markup[] {
  const details = result.details.filter(({ seed }) => seed === 1);
  const names = details[0]?.roc.map((curve) => curve.class) ?? [];
  return [...names.map((name) => thresholds(details, name, names.length > 1)), calibration(result, details)];
}

/** What every threshold on the probability of one class is worth. */
function thresholds(details: readonly FinetuneDetail[], name: string, amongMany: boolean): Markup {
  const roc = details.map((detail) =>
    lineOf(
      detail,
      (detail.roc.find((curve) => curve.class === name)?.points ?? []).map((point) => ({
        x: point.falsePositiveRate,
        y: point.truePositiveRate,
      })),
    ),
  );
  const precisionRecall = details.map((detail) =>
    lineOf(
      detail,
      (detail.precisionRecall.find((curve) => curve.class === name)?.points ?? []).map((point) => ({
        x: point.recall,
        y: point.precision,
      })),
    ),
  );
  const share = shareOf(details[0], name);
  const positive = words(name);
  return section(
    amongMany ? `Thresholds: ${positive} against the rest` : `Thresholds: ${positive}`,
    markup`<p class="note">Each point of a line is a threshold on the probability of ${positive}, of the first seed. Dotted: a guess; for precision it is the
      share of ${positive} among the test images, ${(share * 100).toFixed(1)} %.</p>`,
    legend(roc),
    markup`<ul class="charts">
      <li><h3>ROC curve</h3>${rateChart(roc, {
        label: `ROC curves: true positive rate over false positive rate for ${positive}, one line for each encoder`,
        xName: "false positive rate",
        yName: "true positive rate",
        xFrom: 0,
        reference: [
          { x: 0, y: 0 },
          { x: 1, y: 1 },
        ],
        empty: EMPTY,
      })}</li>
      <li><h3>Precision and recall</h3>${rateChart(precisionRecall, {
        label: `Precision over recall for ${positive}, one line for each encoder`,
        xName: "recall (true positive rate)",
        yName: "precision",
        xFrom: 0,
        reference: [
          { x: 0, y: share },
          { x: 1, y: share },
        ],
        empty: EMPTY,
      })}</li>
    </ul>`,
  );
}

/** Of the test images; the last precision is that of calling all of them positive. */
const shareOf = (detail: FinetuneDetail | undefined, name: string): number =>
  detail?.precisionRecall.find((curve) => curve.class === name)?.points.at(-1)?.precision ?? 0;

function calibration({ classes, test }: ClassificationResult, details: readonly FinetuneDetail[]): Markup {
  const lines = details.map((detail): RateLine => ({
    ...lineOf(
      detail,
      detail.reliability.map(({ confidence, accuracy }) => ({ x: confidence, y: accuracy })),
    ),
    weights: detail.reliability.map(({ images }) => images / test.images),
  }));
  const lowest = classes.length === 2 ? 0.5 : 0;
  return section(
    "Calibration",
    markup`<p class="note">Of the images that a network is 80 % sure of, are 80 % right? Above the dotted line it is too timid, below it too sure. A disc
      is a fifteenth of the range, as large as its share of the test images. First seed.</p>`,
    markup`<ul class="charts">
      <li>${rateChart(lines, {
        label: "Reliability diagram: share of right answers over the confidence, one line for each encoder",
        xName: "confidence (probability of the class that is said)",
        yName: "share that is right",
        xFrom: lowest,
        reference: [
          { x: lowest, y: lowest },
          { x: 1, y: 1 },
        ],
        empty: "There are no test images.",
      })}</li>
      <li><div class="scroll"><table>
        <thead><tr><th scope="col">Encoder</th><th scope="col" class="number">Calibration error (ECE)</th></tr></thead>
        <tbody>${details.map(
          ({ from, mode, calibrationError }) =>
            markup`<tr><th scope="row"><span class="swatch ${ORIGIN_CLASS[from]}${mode === "probe" ? " dashed" : ""}"></span>${ORIGIN_TEXT[from]}<br><span class="dim">${MODE_TEXT[mode]}</span></th><td class="number">${intervalText(calibrationError)}</td></tr>`,
        )}</tbody>
      </table></div></li>
    </ul>`,
  );
}

function measuredCurves({ task, details }: MeasuredResult): readonly Markup[] {
  const first = details.filter(({ seed }) => seed === 1);
  const all = first.flatMap((detail) =>
    detail.curves.map((curve) => ({
      ...curve,
      line: { ...lineOf(detail, curve.points), ...weightsOf(curve) },
    })),
  );
  const names = [...new Set(all.map(({ name }) => name))];
  return names.map((name) => {
    const own = all.filter((curve) => curve.name === name);
    const classes = [...new Set(own.flatMap(({ of }) => of ?? []))];
    const key = legend(own.filter(({ of }) => of === classes[0]).map(({ line }) => line));
    if (classes.length > 0) {
      const charts = classes.map(
        (of) =>
          markup`<li><h3>${words(of)}</h3>${classChart(
            name,
            of,
            own.filter((curve) => curve.of === of),
          )}</li>`,
      );
      return section(name, key, markup`<ul class="charts">${charts}</ul>`);
    }
    const axis = task === "segmentation" ? "Dice" : "false positives an image";
    const lines = own.map(({ line }) => line);
    return section(name, key, lineChart(lines, { label: name, xName: axis, counts: false, empty: EMPTY }));
  });
}

const EMPTY = "The test images do not tell.";

const weightsOf = ({ weights }: Curve): Pick<RateLine, "weights"> =>
  weights === undefined ? {} : { weights };

function classChart(
  name: string,
  of: string,
  curves: readonly (Curve & { readonly line: RateLine })[],
): Markup | null {
  const axes = curves[0]?.axes;
  if (axes === undefined) return null;
  const last = curves[0]?.points.at(-1)?.y ?? 0;
  return rateChart(
    curves.map(({ line }) => line),
    {
      label: `${name} of ${words(of)}: ${axes.y} over ${axes.x}, one line for each encoder`,
      xName: axes.x,
      yName: axes.y,
      xFrom: 0,
      reference:
        axes.reference === "diagonal"
          ? [
              { x: 0, y: 0 },
              { x: 1, y: 1 },
            ]
          : [
              { x: 0, y: last },
              { x: 1, y: last },
            ],
      empty: EMPTY,
    },
  );
}

function lossSection({ details }: FinetuneResult): Markup | null {
  const lines = details
    .filter(({ seed, losses }) => seed === 1 && losses.length > 0)
    .map((detail) =>
      lineOf(
        detail,
        detail.losses.map((loss, i) => ({ x: i + 1, y: loss })),
      ),
    );
  if (lines.length === 0) return null;
  return section(
    "Training loss",
    legend(lines),
    lineChart(lines, { label: "Training loss", xName: "tenth of the training", counts: true, empty: "" }),
  );
}
