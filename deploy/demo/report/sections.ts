/** The report's sections about learning: results, training, pictures. See record.ts for the rest. */
import { formatDurationMs } from "@consilium/shared/units";
import { lineChart, whiskerChart, type Line, type WhiskerGroup } from "@consilium/shared/page/charts";
import { markup, type Markup } from "@consilium/shared/page/markup";
import { lossFall, MODE_TEXT, modesOf, ORIGIN_TEXT, results } from "./summary.ts";
import type { DemoReport, EncoderOrigin, EvaluationRow, Interval } from "./types.ts";

const ORIGIN_CLASS: Readonly<Record<EncoderOrigin, string>> = {
  scratch: "c-scratch",
  own: "c-own",
  global: "c-federated",
};
const CHANCE_AUROC = 0.5;

export const number3 = (value: number): string => value.toFixed(3);
export const count = (value: number): string => value.toLocaleString("en-GB");
export const signed = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;

export function section(title: string, ...content: readonly (Markup | null)[]): Markup {
  return markup`<section><h2>${title}</h2>${content}</section>`;
}

export function resultsSection(report: DemoReport): Markup | null {
  const modes = modesOf(report.evaluations);
  if (modes.length === 0) return null;
  return section(
    "Does the federated encoder help?",
    markup`<p class="note">${report.question}. The same network is trained on the few labels of each hospital, once from random
      weights, once from an encoder that learned from this hospital's images alone, once from the federated encoder,
      and measured on other patients.</p>`,
    ...modes.flatMap((mode) => [
      markup`<h3>${MODE_TEXT[mode]}</h3>`,
      whiskerChart(whiskerGroups(report, mode), {
        label: `${MODE_TEXT[mode]}: AUROC by hospital and origin of the encoder; the same numbers are in the table below.`,
        axis: "AUROC (dashed: chance)",
        chance: CHANCE_AUROC,
      }),
      resultsTable(report, mode),
    ]),
    markup`<p class="note">Values are means over seeds. Intervals are 95 % (bootstrap by patient), their ends averaged over seeds;
      small open dots are single seeds.</p>`,
  );
}

function whiskerGroups(report: DemoReport, mode: EvaluationRow["mode"]): readonly WhiskerGroup[] {
  const groups = report.evaluations.map((evaluation): WhiskerGroup => ({
    name: evaluation.site,
    whiskers: results(evaluation, mode).map(({ from, auroc, seeds }) => ({
      name: ORIGIN_TEXT[from],
      className: ORIGIN_CLASS[from],
      interval: auroc,
      runs: seeds.map((seed) => seed.auroc.value),
    })),
  }));
  const references = report.references.filter((reference) => reference.mode === mode);
  if (references.length === 0) return groups;
  const whiskers = references.map(({ name, auroc }) => ({
    // What is in brackets has its place in the table.
    name: name.replace(/ \(.*\)$/, ""),
    className: "c-reference",
    interval: auroc,
    runs: [],
  }));
  return [...groups, { name: "To compare", whiskers }];
}

function resultsTable(report: DemoReport, mode: EvaluationRow["mode"]): Markup {
  const siteRows = report.evaluations.map((evaluation) => {
    const all = results(evaluation, mode);
    const scratch = all.find(({ from }) => from === "scratch")?.auroc.value;
    const best = Math.max(...all.map(({ auroc }) => auroc.value));
    return all.map(({ from, auroc, accuracy, seeds }, index) => {
      const gain = scratch === undefined || from === "scratch" ? "" : signed(auroc.value - scratch);
      const rows = all.length;
      return markup`<tr class="${index > 0 ? "follows" : "first"}">
        ${index > 0 ? null : markup`<th scope="rowgroup" rowspan="${rows}">${evaluation.site}</th>`}
        <td class="start">${ORIGIN_TEXT[from]}</td>
        <td class="number${auroc.value === best ? " best" : ""}">${interval(auroc)}</td>
        <td class="number">${gain}</td>
        <td class="number">${interval(accuracy)}</td>
        <td class="number">${seeds.length}</td>
        ${
          index > 0
            ? null
            : markup`<td class="number" rowspan="${rows}">${images(evaluation.labels)}</td>
              <td class="number" rowspan="${rows}">${images(evaluation.test)}</td>`
        }
      </tr>`;
    });
  });
  const references = report.references.filter((reference) => reference.mode === mode);
  return markup`<div class="scroll"><table class="wide">
    <thead><tr>
      <th scope="col">Hospital</th><th scope="col">Starts</th><th scope="col" class="number">AUROC</th>
      <th scope="col" class="number">Gain</th><th scope="col" class="number">Accuracy</th>
      <th scope="col" class="number">Seeds</th><th scope="col" class="number">Labels from</th>
      <th scope="col" class="number">Tested on</th>
    </tr></thead>
    <tbody>${siteRows}${references.map(
      ({ name, auroc, accuracy, labels }) => markup`<tr>
        <th scope="row">To compare</th><td>${name}</td><td class="number">${interval(auroc)}</td><td></td>
        <td class="number">${accuracy === null ? "–" : interval(accuracy)}</td>
        <td></td>
        <td class="number">${labels === null ? "–" : `${count(labels)} images`}</td><td></td>
      </tr>`,
    )}</tbody>
  </table></div>`;
}

/** "24 images of 20 patients" on two lines. */
function images(set: { readonly images: number; readonly patients: number }): Markup {
  return markup`${count(set.images)} images<br><span class="dim">${count(set.patients)} patients</span>`;
}

function interval({ value, low, high }: Interval): Markup {
  return markup`${number3(value)} <span class="dim">[${number3(low)}, ${number3(high)}]</span>`;
}

export function trainingSection(report: DemoReport): Markup {
  const { rounds, durationMs } = report.training;
  // Under masks nobody but a site knows its loss.
  const known = rounds.flatMap((round) => round.sites.filter(({ loss }) => loss !== null));
  const sites = [...new Set(known.map(({ site }) => site))];
  const lines: readonly Line[] = [
    ...sites.map((site, index) => ({
      name: site,
      className: `s${index % 8}`,
      points: rounds.flatMap(({ round, sites: contributed }) => {
        const own = contributed.find((contribution) => contribution.site === site);
        return own === undefined || own.loss === null ? [] : [{ x: round, y: own.loss }];
      }),
    })),
    {
      name: "All hospitals",
      className: "global",
      points: rounds.flatMap(({ round, loss }) => (loss === null ? [] : [{ x: round, y: loss }])),
    },
  ];
  const fall = lossFall(report);
  const sentence =
    fall === null
      ? "Too few rounds to say how the loss moves."
      : `The loss went from ${number3(fall.first)} to ${number3(fall.last)} (${percent(fall.change)}) in ${rounds.length} rounds and ${formatDurationMs(durationMs)}.`;
  return section(
    "Learning without labels, together",
    markup`<p>${sentence}</p>`,
    markup`<ul class="legend">${[...lines.slice(-1), ...lines.slice(0, -1)].map(({ name, className }) => markup`<li class="${className}"><span>${name}</span></li>`)}</ul>`,
    lineChart(lines, {
      label: `Reconstruction loss by round. ${sentence}`,
      xName: "round",
      counts: true,
      empty: "No round was finished.",
    }),
    markup`<p class="note">Reconstruction loss on the hidden patches, mean over each hospital's local steps; the thick line weighs
      hospitals by their images.</p>`,
  );
}

export function percent(change: number): string {
  return `${change < 0 ? "−" : "+"}${Math.abs(change * 100).toFixed(0)} %`;
}

export function picturesSection({ reconstructions, plan }: DemoReport): Markup | null {
  const shown = reconstructions.filter(({ images }) => images.length > 0);
  if (shown.length === 0 || plan.pretext.task !== "mae") return null;
  const hidden = Math.round(plan.pretext.maskRatio * 100);
  return section(
    "What the model has learned to see",
    markup`<p class="note">${hidden} % of each image was hidden, the federated model drew it again from the rest. Each hospital made its own
      pictures; they were not sent anywhere, and are in this file because the demo runs on one machine.</p>`,
    markup`<div class="pictures">${shown.map(
      ({ site, images }) => markup`<figure><h3>${site}</h3>
        <div class="triples">
          <div class="triple triple-head"><span>Original</span><span>Masked</span><span>Drawn again</span></div>
          ${images.map(
            ({ original, masked, reconstructed }, index) => markup`<div class="triple">
              <img src="${original}" alt="${site}, image ${index + 1}: original">
              <img src="${masked}" alt="${site}, image ${index + 1}: with ${hidden} % hidden">
              <img src="${reconstructed}" alt="${site}, image ${index + 1}: drawn again by the model">
            </div>`,
          )}
        </div>
      </figure>`,
    )}</div>`,
  );
}
