/** The report of a fine-tuning, for this site's eyes: the comparison, curves, and images to look at. One HTML file. */
import { whiskerChart } from "@consilium/shared/page/charts";
import { DATA_STYLE } from "@consilium/shared/page/data-style";
import { htmlDocument } from "@consilium/shared/page/document";
import { markup, type Markup } from "@consilium/shared/page/markup";
import {
  classRows,
  comparisonOf,
  lacksInterval,
  measureText,
  MODE_TEXT,
  NO_INTERVAL,
  ORIGIN_TEXT,
  unscoredText,
  type ComparedRow,
} from "../describe.ts";
import { describeBetter, describeKept, keptNetwork, withoutFall } from "../kept.ts";
import type { DownstreamMode, EncoderOrigin, FinetuneOutcome, FinetuneResult } from "../types.ts";
import { caseSections } from "./case-sections.ts";
import { curveSections } from "./curves.ts";
import { differenceSection } from "./differences.ts";
import { mapSection } from "./map-section.ts";
import { intervalText, ORIGIN_CLASS, section, words } from "./names.ts";

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
.cases.pairs { grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)); }
.views { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); gap: 4px; }
.views.planes { grid-auto-flow: row; grid-template-columns: 2fr 1fr; align-items: start; }
.views.planes > :first-child { grid-row: span 2; }
.views.planes.lit { grid-template-columns: 1fr 1fr; }
.views.planes.lit > :first-child { grid-row: auto; }
.under { filter: brightness(.62); }
.swatch { display: inline-block; width: 18px; border-top: 2.5px solid currentColor; margin-right: 8px; vertical-align: 4px; }
.swatch.dashed { border-top-style: dashed; }
.marks li::before { width: 9px; height: 9px; border: 0; background: currentColor; vertical-align: 0; }
.marks .m0::before { border-radius: 50%; }
.marks .m2::before { clip-path: polygon(50% 0, 100% 100%, 0 100%); }
.marks .m3::before { transform: rotate(45deg) scale(.85); }
.key .said { color: var(--said); } .key .truth { color: var(--truth); }
.key .truth::before { border-top-style: dashed; }
`;

export interface ReportPlace {
  readonly site: string;
  /** Names of the caches. */
  readonly train: string;
  readonly test: string | null;
  /** The name under which a network is kept; absent where none is. */
  readonly saved?: string | null;
}

export function renderFinetuneReport(
  { result, exemplar, maps }: FinetuneOutcome,
  place: ReportPlace,
): string {
  const { measures, rows } = comparisonOf(result);
  const [main = ""] = measures;
  const body = markup`${top(result, rows, main, place)}
  ${remarks(result, exemplar, place)}
  ${section(
    "Which encoder to start from",
    markup`<p class="note">The same network, labels and test patients; only the encoder's weights at the start differ. Values are means over
      seeds, intervals are 95 % (bootstrap by patient). ${unscoredText(result)} ${lacksInterval(rows) ? NO_INTERVAL : ""}</p>`,
    whiskers(result, rows, main),
    table(measures, rows),
  )}
  ${classSection(result)}
  ${differenceSection(result.differences, main)}
  ${curveSections(result)}
  ${mapSection(maps, result.task)}
  ${exemplar === null ? null : caseSections(exemplar)}
  <footer><span>Made by consilium-site finetune.</span><span>This file is complete in itself: it loads nothing and runs no script.</span></footer>`;
  return htmlDocument(`${TITLES[result.task]} at ${place.site}`, STYLE, body);
}

const TITLES: Readonly<Record<FinetuneResult["task"], string>> = {
  classification: "Classification",
  findings: "Findings",
  segmentation: "Segmentation",
  localization: "Localization",
};

function top(
  { task, classes, labels, test, testSource }: FinetuneResult,
  rows: readonly ComparedRow[],
  main: string,
  place: ReportPlace,
): Markup {
  return markup`<header class="top">
    <p class="eyebrow">Consilium · ${place.site}</p>
    <h1>${TITLES[task]}: ${classes.map(words).join(", ")}</h1>
    <p class="lead">Learned from <strong>${count(labels.images)} labelled images</strong> of ${count(labels.patients)} patients in ${place.train}, tested on
      ${count(test.images)} images of ${count(test.patients)} others${place.test === null ? "" : ` in ${place.test}`}.
      ${headline(rows, main)}</p>
  </header>
  <section><p class="caution"><strong>These are pictures of patients. They stay here.</strong> Only your account can read this file, and nothing in it has
    left this site. ${testSource === "split" ? "The encoders may have seen the test images, without labels." : ""}</p></section>`;
}

/** Every encoder in one way of training, the whole network where that was done: "0.846 from scratch, 0.750 federated encoder". */
function headline(rows: readonly ComparedRow[], main: string): Markup | null {
  const trained = rows.filter(({ mode }) => mode === "finetune");
  const [first] = trained.length > 0 ? trained : rows;
  const values = rows.flatMap(({ from, mode, values: [value] }) =>
    mode !== first?.mode || value == null ? [] : [`${value.value.toFixed(3)} ${ORIGIN_TEXT[from]}`],
  );
  return first === undefined || values.length === 0
    ? null
    : markup`${measureText(main)}, ${MODE_TEXT[first.mode]}: <strong>${values.join(", ")}</strong>.`;
}

/** What was kept, and what went wrong without an error. */
function remarks(
  result: FinetuneResult,
  exemplar: FinetuneOutcome["exemplar"],
  { saved = null }: ReportPlace,
): Markup | null {
  const kept = saved === null || exemplar === null ? null : keptNetwork(result, exemplar);
  const better = kept === null ? null : describeBetter(kept);
  const lines = [
    ...(kept === null ? [] : [`Kept as ${saved ?? ""}: ${describeKept(kept)}.`]),
    ...(better === null ? [] : [`${better}.`]),
    ...withoutFall(result),
  ];
  return lines.length === 0
    ? null
    : markup`<section>${lines.map((line) => markup`<p class="note">${line}</p>`)}</section>`;
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
              interval: {
                value: interval.value,
                low: interval.low ?? interval.value,
                high: interval.high ?? interval.value,
              },
              runs: single.get(`${from} ${mode}`) ?? [],
            },
          ],
    ),
  }));
  const chance = main === "auroc" ? 0.5 : null;
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
        ${values.map((value) => markup`<td class="number">${intervalText(value)}</td>`)}
        <td class="number">${gain === null ? "" : intervalText(gain)}</td><td class="number">${seeds}</td>
      </tr>`,
    )}</tbody>
  </table></div>`;
}

/** The first measure of each class, one column an encoder. */
function classSection(result: FinetuneResult): Markup | null {
  const cells = classRows(result);
  const [first] = cells;
  if (first === undefined) return null;
  const columns = cells.filter(({ name }) => name === first.name);
  const names = [...new Set(cells.map(({ name }) => name))];
  return section(
    `${measureText(comparisonOf(result).measures[0] ?? "")} by class`,
    markup`<div class="scroll"><table>
    <thead><tr><th scope="col">Class</th>${columns.map(
      ({ from, mode }) =>
        markup`<th scope="col" class="number">${ORIGIN_TEXT[from]}<br>${MODE_TEXT[mode]}</th>`,
    )}</tr></thead>
    <tbody>${names.map(
      (name) =>
        markup`<tr><th scope="row">${words(name)}</th>${cells
          .filter((cell) => cell.name === name)
          .map(({ value }) => markup`<td class="number">${intervalText(value)}</td>`)}</tr>`,
    )}</tbody>
  </table></div>`,
  );
}

const count = (value: number): string => value.toLocaleString("en-GB");
