/** What a study found: a table for the terminal, and a page with the table and the plot. */
import { DATA_STYLE } from "@consilium/shared/page/data-style";
import { whiskerChart, type WhiskerGroup } from "@consilium/shared/page/charts";
import { htmlDocument } from "@consilium/shared/page/document";
import { markup, type Markup } from "@consilium/shared/page/markup";
import { counted } from "@consilium/shared/units";
import type { Cell, Journal } from "./journal.ts";

type Found = Pick<Journal, "cells" | "test">;

const ORDER = ["scratch", "alone", "federated", "pooled"] as const;

/** Encoders in a fixed order, sites by name. */
function encodersOf(cells: readonly Cell[]): readonly string[] {
  const rank = (name: string): number => ORDER.findIndex((kind) => name.startsWith(kind));
  const names = [...new Set(cells.map(({ encoder }) => encoder))];
  return names.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

const fractionsOf = (cells: readonly Cell[]): readonly number[] =>
  [...new Set(cells.map(({ fraction }) => fraction))].sort((a, b) => a - b);
const modesOf = (cells: readonly Cell[]): readonly Cell["mode"][] => [
  ...new Set(cells.map(({ mode }) => mode)),
];

const share = (fraction: number): string => `${Number((100 * fraction).toPrecision(3))} %`;
const MODE_TEXT = { probe: "head alone", finetune: "whole network" } as const;

const cellOf = (cells: readonly Cell[], encoder: string, fraction: number): Cell | undefined =>
  cells.find((cell) => cell.encoder === encoder && cell.fraction === fraction);

const show = (cell: Cell | undefined): string =>
  cell === undefined
    ? "–"
    : `${cell.auroc.value.toFixed(3)} [${cell.auroc.low.toFixed(3)}, ${cell.auroc.high.toFixed(3)}]`;

/** AUROC by encoder and share of the labels, one table a mode. */
export function renderTables({ cells }: Found): string {
  return modesOf(cells)
    .map((mode) => {
      const own = cells.filter((cell) => cell.mode === mode);
      const fractions = fractionsOf(own);
      const heads = fractions.map((fraction) => {
        const labels = own.find((cell) => cell.fraction === fraction)?.labels ?? 0;
        return `${share(fraction)} (${labels} labels)`;
      });
      const rows = encodersOf(own).map((encoder) => [
        encoder,
        ...fractions.map((fraction) => show(cellOf(own, encoder, fraction))),
      ]);
      const all = [[`AUROC, ${MODE_TEXT[mode]}`, ...heads], ...rows];
      const widths = heads.map((_, i) => Math.max(...all.map((row) => row[i + 1]?.length ?? 0)));
      const first = Math.max(...all.map(([name = ""]) => name.length));
      return all
        .map(([name = "", ...values]) =>
          `  ${name.padEnd(first)}  ${values.map((text, i) => text.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd(),
        )
        .join("\n");
    })
    .join("\n\n");
}

export function renderPage({ cells, test }: Found, title: string): string {
  const seeds = Math.max(0, ...cells.map(({ runs }) => runs.length));
  const tested =
    test === null
      ? ""
      : ` Tested on ${test.images} images of ${test.patients} patients that no encoder has seen.`;
  return htmlDocument(
    title,
    DATA_STYLE,
    markup`<header class="top">
      <p class="eyebrow">Consilium · study</p>
      <h1>${title}</h1>
      <p class="lead">AUROC after training on a share of the labels, for each encoder to start from; ${counted(seeds, "draw")} of the
        labels each, the same for every encoder.${tested} Bars are 95 % intervals by patient, dots are single draws.</p>
    </header>
    ${modesOf(cells).map((mode) =>
      section(
        mode,
        cells.filter((cell) => cell.mode === mode),
      ),
    )}`,
  );
}

function section(mode: Cell["mode"], cells: readonly Cell[]): Markup {
  const fractions = fractionsOf(cells);
  const encoders = encodersOf(cells);
  const groups = fractions.map((fraction): WhiskerGroup => {
    const own = encoders.flatMap((encoder) => cellOf(cells, encoder, fraction) ?? []);
    return {
      name: `${share(fraction)} · ${own[0]?.labels ?? 0} labels`,
      whiskers: own.map(({ encoder, auroc, runs }) => ({
        name: encoder,
        className: classOf(encoder),
        interval: auroc,
        runs,
      })),
    };
  });
  return markup`<section>
    <h2>${MODE_TEXT[mode] === "head alone" ? "The head alone, on the frozen encoder" : "The whole network"}</h2>
    ${whiskerChart(groups, { label: `AUROC by share of the labels, ${MODE_TEXT[mode]}`, axis: "AUROC", chance: 0.5 })}
    <div class="scroll"><table>
      <thead><tr><th>encoder</th>${fractions.map((fraction) => markup`<th class="number">${share(fraction)}</th>`)}</tr></thead>
      <tbody>${encoders.map(
        (encoder) =>
          markup`<tr><th>${encoder}</th>${fractions.map(
            (fraction) => markup`<td class="number">${show(cellOf(cells, encoder, fraction))}</td>`,
          )}</tr>`,
      )}</tbody>
    </table></div>
  </section>`;
}

function classOf(encoder: string): string {
  if (encoder.startsWith("alone")) return "c-own";
  return { scratch: "c-scratch", federated: "c-federated", pooled: "c-reference" }[encoder] ?? "c-own";
}
