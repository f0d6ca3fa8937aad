/** The demo's report as one HTML file that needs nothing else: inline style, SVG charts, pictures as data URLs. */
import { htmlDocument } from "@consilium/shared/page/document";
import { markup, type Markup } from "@consilium/shared/page/markup";
import { formatBytes, formatDurationMs } from "@consilium/shared/units";
import { checksSection, hospitalsSection, outflowSection, recordSection } from "./record.ts";
import { number3, percent, picturesSection, resultsSection, trainingSection } from "./sections.ts";
import { STYLE } from "./style.ts";
import { headline, isTooShort, lossFall, sentBytes, TOO_SHORT } from "./summary.ts";
import type { DemoReport } from "./types.ts";

export function renderReport(report: DemoReport): string {
  const body = markup`${top(report)}
${figures(report)}
${resultsSection(report)}
${trainingSection(report)}
${picturesSection(report)}
${hospitalsSection(report)}
${outflowSection(report)}
${checksSection(report)}
${recordSection(report)}
${footer(report)}`;
  return htmlDocument(report.title, STYLE, body);
}

function top(report: DemoReport): Markup {
  const { hospitals, data, startedAt, durationMs } = report;
  const kind = data === "phantom" ? "phantom hospitals" : "hospitals";
  const images = hospitals.reduce((sum, { used }) => sum + used, 0);
  return markup`<header class="top">
    <p class="eyebrow">Consilium · ${report.federation}</p>
    <h1>${report.title}</h1>
    <p class="lead">${hospitals.length} ${kind} trained one encoder on <strong>${images.toLocaleString("en-GB")} images without labels</strong>,
      and no image left its hospital. ${verdict(report)}</p>
    <p class="note"><time datetime="${startedAt}">${day(startedAt)}</time>, ${formatDurationMs(durationMs)} from start to end</p>
  </header>`;
}

function verdict(report: DemoReport): Markup | null {
  if (isTooShort(report)) return markup`<strong>${TOO_SHORT}</strong>`;
  const means = headline(report);
  if (means?.global == null || means.scratch === null) return null;
  const gain = means.global - means.scratch;
  const change = Math.abs(gain) < 0.005 ? "makes no difference to" : gain > 0 ? "raises" : "lowers";
  return markup`Starting from it ${change} the mean AUROC with few labels:
    <strong>${number3(means.scratch)} from scratch, ${number3(means.global)} federated</strong>.`;
}

function figures(report: DemoReport): Markup {
  const means = headline(report);
  const fall = lossFall(report);
  const met = report.checks.filter(({ ok }) => ok).length;
  const sent = report.outflows.reduce((sum, outflow) => sum + sentBytes(outflow), 0);
  return markup`<section aria-label="At a glance"><dl class="figures">
    ${
      means?.global == null || isTooShort(report)
        ? null
        : figure(
            "AUROC, federated",
            number3(means.global),
            means.scratch === null ? "mean over hospitals" : `from scratch ${number3(means.scratch)}`,
          )
    }
    ${fall === null ? null : figure("Reconstruction loss", percent(fall.change), `${number3(fall.first)} to ${number3(fall.last)}`)}
    ${figure("Training", formatDurationMs(report.training.durationMs), `${report.training.rounds.length} rounds`)}
    ${report.outflows.length === 0 ? null : figure("Left the hospitals", formatBytes(sent), "no image, no label")}
    ${report.checks.length === 0 ? null : figure("Checks met", `${met} of ${report.checks.length}`, met === report.checks.length ? "all" : "see below")}
  </dl></section>`;
}

function figure(name: string, value: string, note: string): Markup {
  return markup`<div><dt>${name}</dt><dd>${value}</dd><dd class="sub">${note}</dd></div>`;
}

/** Only web and relative addresses become links; a `javascript:` one never does. */
function footer({ links }: DemoReport): Markup {
  return markup`<footer>${links.map(({ label, href }) =>
    /^(https?:\/\/|\.{0,2}\/|[\w-]+(\.[\w-]+)*$)/.test(href)
      ? markup`<a href="${href}">${label}</a>`
      : markup`<span>${label}</span>`,
  )}<span>Made by Consilium. This file is complete in itself: it loads nothing and runs no script.</span></footer>`;
}

const day = (iso: string): string =>
  new Date(iso).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short", timeZone: "UTC" }) + " UTC";
