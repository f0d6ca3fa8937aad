/** The table that the demo ends with. */
import type { Comparison, DemoSummary } from "./results.ts";
import type { EncoderOrigin, Interval } from "./report/types.ts";

const COLUMNS: readonly { readonly from: EncoderOrigin; readonly title: string }[] = [
  { from: "scratch", title: "from scratch" },
  { from: "own", title: "own encoder" },
  { from: "global", title: "federated encoder" },
];

/** Plain text, one line per site, then the mean, then the pooled labels where there are any. */
export function renderTable(summary: DemoSummary): string {
  const pooled = summary.pooled === null ? null : summary.comparisons.at(-1);
  const sites = pooled === null ? summary.comparisons : summary.comparisons.slice(0, -1);
  const columns = COLUMNS.filter(({ from }) =>
    summary.comparisons.some(({ encoders }) => encoders.some((encoder) => encoder.from === from)),
  );
  const means = { scratch: summary.sites.scratch, own: summary.sites.own, global: summary.sites.federated };
  const line = (name: string, compared: Comparison): string[] => [
    name,
    String(compared.labels.images),
    ...columns.map(({ from }) => show(compared.encoders.find((encoder) => encoder.from === from)?.auroc)),
  ];
  const head = ["AUROC [95 % interval]", "labels", ...columns.map(({ title }) => title)];
  const body = sites.map((site) => line(site.name, site));
  const mean = ["mean of the sites", "", ...columns.map(({ from }) => means[from]?.toFixed(3) ?? "–")];
  const rows = [head, null, ...body, null, mean];
  if (pooled != null) rows.push(line("all labels pooled *", pooled));
  const widths = head.map((_, i) => Math.max(...rows.map((row) => row?.[i]?.length ?? 0)));
  const text = rows.map((row) =>
    row === null
      ? `  ${widths.map((width) => "─".repeat(width)).join("──")}`
      : `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd(),
  );
  if (pooled != null) {
    text.push("", "  * possible only in a demo, where one machine holds all hospitals' labels");
  }
  return text.join("\n");
}

function show(interval: Interval | undefined): string {
  if (interval === undefined) return "–";
  const { value, low, high } = interval;
  return `${value.toFixed(3)} [${low.toFixed(2)}–${high.toFixed(2)}]`;
}
