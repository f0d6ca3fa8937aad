/** The report of a fine-tuning, for this site's eyes: the comparison, curves, and images to look at. One HTML file. */
import { lineChart, whiskerChart, type Line } from "@consilium/shared/page/charts";
import { DATA_STYLE } from "@consilium/shared/page/data-style";
import { htmlDocument } from "@consilium/shared/page/document";
import { markup, type Markup } from "@consilium/shared/page/markup";
import type { Estimate } from "../bootstrap.ts";
import { comparisonOf, measureText, MODE_TEXT, ORIGIN_TEXT, type ComparedRow } from "../describe.ts";
import type {
  Case,
  DownstreamMode,
  EncoderOrigin,
  Exemplar,
  FinetuneOutcome,
  FinetuneResult,
} from "../types.ts";
import { overlay } from "./overlay.ts";

const STYLE = `${DATA_STYLE}
:root { --said: #ff9d42; --truth: #4fd0ff; }
.cases { list-style: none; display: grid; gap: 20px 18px; grid-template-columns: repeat(auto-fill, minmax(205px, 1fr)); }
.cases figure { display: grid; gap: 6px; }
.case { display: block; width: 100%; height: auto; border-radius: 6px; background: #000; }
.case path, .case rect { fill: none; stroke-width: 1.8px; vector-effect: non-scaling-stroke; }
.case .said { stroke: var(--said); }
.case .truth { stroke: var(--truth); stroke-dasharray: 4 3; }
.cases figcaption { font-size: 12.5px; line-height: 1.4; color: var(--dim); }
.cases figcaption strong { color: var(--ink); font-weight: 600; }
.key .said { color: var(--said); } .key .truth { color: var(--truth); }
.key .truth::before { border-top-style: dashed; }
`;

export interface ReportPlace {
  readonly site: string;
  /** Names of the caches. */
  readonly train: string;
  readonly test: string | null;
}

const ORIGIN_CLASS: Readonly<Record<EncoderOrigin, string>> = {
  scratch: "c-scratch",
  own: "c-own",
  global: "c-federated",
};

export function renderFinetuneReport({ result, exemplar }: FinetuneOutcome, place: ReportPlace): string {
  const { measures, rows } = comparisonOf(result);
  const [main = ""] = measures;
  const body = markup`${top(result, rows, main, place)}
  ${section(
    "Which encoder to start from",
    markup`<p class="note">The same network, labels and test patients; only the encoder's weights at the start differ. Values are means over
      seeds, intervals are 95 % (bootstrap by patient).</p>`,
    whiskers(result, rows, main),
    table(measures, rows),
  )}
  ${curveSections(result)}
  ${lossSection(result)}
  ${exemplar === null ? null : caseSections(exemplar, result)}
  <footer><span>Made by consilium-site finetune.</span><span>This file is complete in itself: it loads nothing and runs no script.</span></footer>`;
  return htmlDocument(`${TITLES[result.task]} at ${place.site}`, STYLE, body);
}

const TITLES: Readonly<Record<FinetuneResult["task"], string>> = {
  classification: "Classification",
  segmentation: "Segmentation",
  localization: "Localization",
};

function section(title: string, ...content: readonly (Markup | null)[]): Markup {
  return markup`<section><h2>${title}</h2>${content}</section>`;
}

function top(
  { task, classes, labels, test, testSource }: FinetuneResult,
  rows: readonly ComparedRow[],
  main: string,
  place: ReportPlace,
): Markup {
  const best = rows.at(-1);
  const value = best?.values[0] ?? null;
  return markup`<header class="top">
    <p class="eyebrow">Consilium · ${place.site}</p>
    <h1>${TITLES[task]}: ${classes.map((name) => name.replaceAll("_", " ")).join(", ")}</h1>
    <p class="lead">Learned from <strong>${count(labels.images)} labelled images</strong> of ${count(labels.patients)} patients in ${place.train}, tested on
      ${count(test.images)} images of ${count(test.patients)} others${place.test === null ? "" : ` in ${place.test}`}.
      ${value === null || best === undefined ? null : markup`${measureText(main)} from the ${ORIGIN_TEXT[best.from]}: <strong>${value.value.toFixed(3)}</strong>.`}</p>
  </header>
  <section><p class="caution"><strong>These are pictures of patients. They stay here.</strong> Only your account can read this file, and nothing in it has
    left this site. ${testSource === "split" ? "The encoders may have seen the test images, without labels." : ""}</p></section>`;
}

function whiskers(result: FinetuneResult, rows: readonly ComparedRow[], main: string): Markup {
  const modes = [...new Set(rows.map(({ mode }) => mode))];
  const single = new Map<string, number[]>();
  for (const { from, mode, value } of singleRuns(result)) {
    const key = `${from} ${mode}`;
    single.set(key, [...(single.get(key) ?? []), value]);
  }
  const groups = modes.map((mode) => ({
    name: MODE_TEXT[mode],
    whiskers: rows.flatMap(({ from, mode: own, values: [interval] }) =>
      own !== mode || interval == null
        ? []
        : [
            {
              name: ORIGIN_TEXT[from],
              className: ORIGIN_CLASS[from],
              interval,
              runs: single.get(`${from} ${mode}`) ?? [],
            },
          ],
    ),
  }));
  const chance = result.task === "classification" ? 0.5 : 0;
  return whiskerChart(groups, {
    label: `${measureText(main)} by encoder; the same numbers are in the table below.`,
    axis: measureText(main),
    chance,
  });
}

function singleRuns(result: FinetuneResult): { from: EncoderOrigin; mode: DownstreamMode; value: number }[] {
  if (result.task === "classification") {
    return result.rows.map(({ from, mode, auroc }) => ({ from, mode, value: auroc.value }));
  }
  const [main = ""] = result.measures;
  return result.rows.flatMap(({ from, mode, measures }) => {
    const value = measures[main]?.value;
    return value === undefined ? [] : [{ from, mode, value }];
  });
}

function table(measures: readonly string[], rows: readonly ComparedRow[]): Markup {
  return markup`<div class="scroll"><table>
    <thead><tr><th scope="col">Starts from</th><th scope="col">Trained</th>${measures.map(
      (name) => markup`<th scope="col" class="number">${measureText(name)}</th>`,
    )}<th scope="col" class="number">Gain</th><th scope="col" class="number">Seeds</th></tr></thead>
    <tbody>${rows.map(
      ({ from, mode, values, gain, seeds }) => markup`<tr>
        <th scope="row">${ORIGIN_TEXT[from]}</th><td class="start">${MODE_TEXT[mode]}</td>
        ${values.map((value) => markup`<td class="number">${interval(value)}</td>`)}
        <td class="number">${gain === null ? "" : interval(gain)}</td><td class="number">${seeds}</td>
      </tr>`,
    )}</tbody>
  </table></div>`;
}

/** One chart for each kind of curve; a line for each encoder, of its first seed. */
function curveSections(result: FinetuneResult): readonly Markup[] {
  const curves =
    result.task === "classification"
      ? result.details.flatMap(({ from, mode, seed, roc }) =>
          roc.map(({ class: name, points }) => ({
            name: roc.length === 1 ? "ROC curve" : `ROC curve: ${name} against the rest`,
            line: line(
              { from, mode },
              points.map((p) => ({ x: p.falsePositiveRate, y: p.truePositiveRate })),
            ),
            seed,
          })),
        )
      : result.details.flatMap(({ from, mode, seed, curves: own }) =>
          own.map(({ name, points }) => ({ name, line: line({ from, mode }, points), seed })),
        );
  const names = [...new Set(curves.map(({ name }) => name))];
  return names.map((name) => {
    const lines = curves
      .filter((curve) => curve.name === name && curve.seed === 1)
      .map((curve) => curve.line);
    const axis = AXES[result.task];
    return section(
      name,
      legend(lines),
      lineChart(lines, { label: name, xName: axis, counts: false, empty: "The test images do not tell." }),
    );
  });
}

const AXES: Readonly<Record<FinetuneResult["task"], string>> = {
  classification: "false positive rate",
  segmentation: "Dice",
  localization: "false positives an image",
};

function lossSection(result: FinetuneResult): Markup | null {
  const lines = result.details
    .filter(({ seed, losses }) => seed === 1 && losses.length > 0)
    .map(({ from, mode, losses }) =>
      line(
        { from, mode },
        losses.map((loss, i) => ({ x: i + 1, y: loss })),
      ),
    );
  if (lines.length === 0) return null;
  return section(
    "Training loss",
    legend(lines),
    lineChart(lines, { label: "Training loss", xName: "tenth of the training", counts: true, empty: "" }),
  );
}

const line = (
  { from, mode }: { readonly from: EncoderOrigin; readonly mode: DownstreamMode },
  points: Line["points"],
): Line => ({ name: `${ORIGIN_TEXT[from]}, ${MODE_TEXT[mode]}`, className: ORIGIN_CLASS[from], points });

const legend = (lines: readonly Line[]): Markup =>
  markup`<ul class="legend">${lines.map(({ name, className }) => markup`<li class="${className}"><span>${name}</span></li>`)}</ul>`;

function caseSections({ from, mode, cases }: Exemplar, { task }: FinetuneResult): readonly Markup[] {
  const who = `${ORIGIN_TEXT[from]}, ${MODE_TEXT[mode]}, first seed`;
  const key =
    task === "classification"
      ? null
      : markup`<ul class="legend key"><li class="said"><span>said</span></li><li class="truth"><span>labelled</span></li></ul>`;
  return (["worst", "typical"] as const).flatMap((choice) => {
    const shown = cases.filter((each) => each.choice === choice);
    if (shown.length === 0) return [];
    return [
      section(
        choice === "worst" ? "The worst cases" : "In the middle",
        markup`<p class="note">${choice === "worst" ? "Is the network wrong, or the label, or the image? " : ""}${who}. Keys are this site's pseudonyms.</p>`,
        key,
        markup`<ul class="cases">${shown.map((each, i) => markup`<li>${figure(each, i + 1)}</li>`)}</ul>`,
      ),
    ];
  });
}

function figure(each: Case, number: number): Markup {
  return markup`<figure>${overlay(each, `${each.choice} case ${number}`)}
    <figcaption><strong>${caption(each)}</strong><br><code>${each.image.slice(0, 12)}</code></figcaption>
  </figure>`;
}

function caption({ shapes, goodness }: Case): string {
  switch (shapes.kind) {
    case "classes":
      return `${shapes.truth}, said ${shapes.said} (${(shapes.probability * 100).toFixed(0)} % for the label)`;
    case "masks":
      return `Dice ${goodness.toFixed(3)}`;
    case "boxes":
      return `${shapes.truth.length} labelled, ${shapes.said.length} said (quality ${goodness.toFixed(2)})`;
  }
}

const interval = (estimate: Estimate | null): Markup | string =>
  estimate === null
    ? "–"
    : markup`${estimate.value.toFixed(3)} <span class="dim">[${estimate.low.toFixed(3)}, ${estimate.high.toFixed(3)}]</span>`;

const count = (value: number): string => value.toLocaleString("en-GB");
