/** How encoders and ways of training look in the report. */
import type { Line } from "@consilium/shared/page/charts";
import { markup, type Markup } from "@consilium/shared/page/markup";
import type { RateLine } from "@consilium/shared/page/square-charts";
import type { Estimate } from "../bootstrap.ts";
import { boundsText, MODE_TEXT, ORIGIN_TEXT } from "../describe.ts";
import type { DownstreamMode, EncoderOrigin } from "../types.ts";

export const ORIGIN_CLASS: Readonly<Record<EncoderOrigin, string>> = {
  scratch: "c-scratch",
  own: "c-own",
  global: "c-federated",
};

export interface Compared {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
}

/** Colour tells the encoder, a dashed line the head alone. */
export const lineOf = ({ from, mode }: Compared, points: Line["points"]): RateLine => ({
  name: `${ORIGIN_TEXT[from]}, ${MODE_TEXT[mode]}`,
  className: ORIGIN_CLASS[from],
  dashed: mode === "probe",
  points,
});

export const legend = (lines: readonly RateLine[]): Markup =>
  markup`<ul class="legend">${lines.map(
    ({ name, className, dashed }) =>
      markup`<li class="${className}${dashed ? " dashed" : ""}"><span>${name}</span></li>`,
  )}</ul>`;

export function section(title: string, ...content: readonly (Markup | null)[]): Markup {
  return markup`<section><h2>${title}</h2>${content}</section>`;
}

export const intervalText = (estimate: Estimate | null): Markup | string =>
  estimate === null
    ? "–"
    : markup`${estimate.value.toFixed(3)} <span class="dim">${boundsText(estimate)}</span>`;

/** The name of a class as people write it. */
export const words = (name: string): string => name.replaceAll("_", " ");
