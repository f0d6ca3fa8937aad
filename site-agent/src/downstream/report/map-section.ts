/** The test images on a plane, one picture an encoder. */
import { markup, type Markup } from "@consilium/shared/page/markup";
import { pointChart } from "@consilium/shared/page/square-charts";
import { ORIGIN_TEXT } from "../describe.ts";
import type { DownstreamTask, FeatureMap } from "../types.ts";
import { section, words } from "./names.ts";

/** As many colours as the page's style has. */
const COLOURS = 8;

/** What the groups are. */
const TASK_TEXT: Readonly<Record<DownstreamTask, string>> = {
  classification: "their label",
  findings: "the rarest finding that they show",
  segmentation: "how well they were answered",
  localization: "how well they were answered",
};

export function mapSection(maps: readonly FeatureMap[], task: DownstreamTask): Markup | null {
  if (maps.length === 0) return null;
  const groups = [...new Set(maps.flatMap(({ points }) => points.map(({ group }) => group)))].sort();
  const what = TASK_TEXT[task];
  return section(
    "The test images as the encoders see them",
    markup`<p class="note">Each mark is a test image; what an encoder sees as alike lies near each other. The encoder has not been trained on labels here: groups
      that lie apart are what it found by itself, coloured by ${what}. The axes are the two directions in which its features differ most (principal
      components), with their share of all differences.</p>`,
    markup`<ul class="legend marks">${groups.map((name, i) => markup`<li class="s${i % COLOURS} m${i % 4}"><span>${words(name)}</span></li>`)}</ul>`,
    markup`<ul class="charts">${maps.map(({ from, shares, points }) => {
      const [x, y] = shares.map((share) => `${(share * 100).toFixed(0)} % of the differences`);
      return markup`<li><h3>${ORIGIN_TEXT[from]}</h3>${pointChart(
        groups.map((name, i) => ({
          name,
          className: `s${i % COLOURS}`,
          points: points.filter(({ group }) => group === name),
        })),
        {
          label: `${points.length} test images on the plane on which the features of the encoder (${ORIGIN_TEXT[from]}) differ most, by ${what}`,
          xName: x ?? "",
          yName: y ?? "",
        },
      )}</li>`;
    })}</ul>`,
  );
}
