/** The report's sections about how it was done: hospitals, what left them, checks, machine and plan. */
import { ERRORS } from "@consilium/shared/errors";
import { pretextInWords } from "@consilium/shared/pretext-words";
import { describeStrategy } from "@consilium/shared/strategy-schema";
import { formatBytes, formatDurationMs } from "@consilium/shared/units";
import { markup, type Markup } from "@consilium/shared/page/markup";
import { count, section } from "./sections.ts";
import { sentBytes } from "./summary.ts";
import type { DemoReport, Hospital } from "./types.ts";

export function checksSection({ checks }: DemoReport): Markup | null {
  if (checks.length === 0) return null;
  return section(
    "Checks",
    markup`<div class="scroll"><table class="checks">
      <thead><tr><th scope="col">What</th><th scope="col">Target</th><th scope="col">Measured</th><th scope="col"></th></tr></thead>
      <tbody>${checks.map(
        ({
          name,
          target,
          value,
          ok,
        }) => markup`<tr><th scope="row">${name}</th><td>${target}</td><td>${value}</td>
          <td class="number"><span class="${ok ? "ok" : "failed"}">${ok ? "✓ met" : "✗ not met"}</span></td></tr>`,
      )}</tbody>
    </table></div>`,
  );
}

export function hospitalsSection({ hospitals, data }: DemoReport): Markup {
  return section(
    "The hospitals",
    markup`<p class="note">${
      data === "phantom"
        ? "Drawn by the demo: no patient was imaged. Each hospital writes real DICOM in its own way."
        : "Images that were given with --data, one folder for each hospital."
    } Files that cannot be used are set aside with a reason and stop nothing.</p>`,
    markup`<div class="scroll"><table class="wide">
      <thead><tr>
        <th scope="col">Hospital</th><th scope="col">How its images look</th><th scope="col">How they are written</th>
        <th scope="col" class="number">Images used</th><th scope="col">Set aside</th><th scope="col" class="number">Labels</th>
      </tr></thead>
      <tbody>${hospitals.map(
        (hospital) => markup`<tr>
          <th scope="row">${hospital.site}</th>
          <td>${hospital.look}</td>
          <td><ul class="list">${hospital.transferSyntaxes.map(
            ({ name, files }) => markup`<li>${count(files)} × ${name}</li>`,
          )}</ul><span class="dim">${hospital.photometricInterpretations.join(", ")}</span></td>
          <td class="number">${count(hospital.used)} <span class="dim">of ${count(hospital.files)}</span></td>
          <td>${setAside(hospital)}</td>
          <td class="number">${hospital.labels === null ? "none" : count(hospital.labels.matched)}</td>
        </tr>`,
      )}</tbody>
    </table></div>`,
  );
}

function setAside({ quarantined }: Hospital): Markup {
  const reasons = Object.entries(quarantined).filter(([, files]) => files > 0);
  if (reasons.length === 0) return markup`<span class="dim">none</span>`;
  return markup`<ul class="list">${reasons.map(
    ([code, files]) => markup`<li>${count(files)} × ${meaning(code)}</li>`,
  )}</ul>`;
}

/** The table's sentence for a code, or the code itself from a newer site. */
function meaning(code: string): string {
  const entry = Object.entries(ERRORS).find(([known]) => known === code)?.[1];
  return entry === undefined
    ? code
    : entry.meaning.replace(/\.$/, "").toLowerCase().replace("dicom", "DICOM");
}

export function outflowSection({ outflows, plan }: DemoReport): Markup | null {
  if (outflows.length === 0) return null;
  return section(
    "What left each hospital",
    markup`<div class="scroll"><table class="wide">
      <thead><tr><th scope="col">Hospital</th><th scope="col">What</th><th scope="col" class="number">Objects</th>
        <th scope="col" class="number">Bytes</th><th scope="col">Protection</th></tr></thead>
      <tbody>${outflows.map((outflow) =>
        outflow.objects.map(
          (
            { kind, count: objects, bytes, protection },
            index,
          ) => markup`<tr class="${index > 0 ? "follows" : "first"}">
            <th scope="row">${index === 0 ? outflow.site : ""}</th><td>${kind}</td>
            <td class="number">${count(objects)}</td><td class="number">${formatBytes(bytes)}</td><td>${protection}</td>
          </tr>`,
        ),
      )}</tbody>
    </table></div>`,
    markup`<p class="note">Together ${formatBytes(outflows.reduce((sum, outflow) => sum + sentBytes(outflow), 0))}. Images,
      labels, file names and patients' identifiers are no part of it.</p>`,
    plan.aggregation.secure === "masked"
      ? markup`<p class="note">The updates were masked: the coordinator saw their sum and no single one.</p>`
      : markup`<p class="caution danger">Not masked: the coordinator could read each hospital's update. Masking takes three
          hospitals or more.</p>`,
  );
}

export function recordSection(report: DemoReport): Markup {
  const { machine, plan, steps } = report;
  const total = steps.reduce((sum, { durationMs }) => sum + durationMs, 0);
  const facts: readonly (readonly [string, string])[] = [
    ["Processor", `${machine.cpu}, ${machine.cores} ${machine.cores === 1 ? "core" : "cores"}`],
    ["Memory", formatBytes(machine.memoryBytes)],
    ["System", `${machine.platform}, Node.js ${machine.node}`],
    ["Model", `ViT ${plan.model.size}, ${plan.model.imagePx} px in patches of ${plan.model.patchPx} px`],
    ["Weights", report.parameters === null ? "–" : count(report.parameters)],
    ["Pretext task", pretextInWords(plan.pretext)],
    [
      "Local training",
      `${plan.training.localEpochs} × ${plan.training.batchSize}, rate ${plan.training.learningRate}`,
    ],
    ["Aggregation", describeStrategy(plan.aggregation.strategy)],
    ["Seed", String(plan.seed)],
  ];
  return section(
    "How it was run",
    steps.length === 0
      ? null
      : markup`<div>
        <div class="times" aria-hidden="true">${steps.map(
          ({ durationMs }, index) =>
            markup`<span class="s${index % 8}" style="flex:${Math.max(0.001, durationMs / total).toFixed(4)}"></span>`,
        )}</div>
        <ul class="legend">${steps.map(
          ({ name, durationMs }, index) =>
            markup`<li class="s${index % 8}"><span>${name} ${formatDurationMs(durationMs)}</span></li>`,
        )}</ul></div>`,
    markup`<div class="two">
      ${factsTable(facts)}
      ${factsTable(report.options.map(({ name, value }) => [name, value] as const))}
    </div>`,
    markup`<p class="note">Plan <code>${report.planHash}</code>${
      report.checkpoint === null ? null : markup`<br>Final model <code>${report.checkpoint}</code>`
    }</p>`,
  );
}

function factsTable(facts: readonly (readonly [string, string])[]): Markup | null {
  if (facts.length === 0) return null;
  return markup`<table><tbody>${facts.map(
    ([name, value]) => markup`<tr><th scope="row">${name}</th><td>${value}</td></tr>`,
  )}</tbody></table>`;
}
