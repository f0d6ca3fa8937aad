/** Test images to look at, with what was said and what is labelled. */
import { markup, type Markup } from "@consilium/shared/page/markup";
import { MODE_TEXT, ORIGIN_TEXT } from "../describe.ts";
import type { Case, Exemplar } from "../types.ts";
import { section, words } from "./names.ts";
import { heat, overlay } from "./overlay.ts";

export function caseSections({ from, mode, cases }: Exemplar): readonly Markup[] {
  const who = `${ORIGIN_TEXT[from]}, ${MODE_TEXT[mode]}, first seed`;
  return (["worst", "typical"] as const).flatMap((choice) => {
    const shown = cases.filter((each) => each.choice === choice);
    if (shown.length === 0) return [];
    const explained = shown.some(({ shapes }) => shapes.kind === "classes" && shapes.saliency !== null);
    return [
      section(
        choice === "worst" ? "The worst cases" : "In the middle",
        markup`<p class="note">${choice === "worst" ? "Is the network wrong, or the label, or the image? " : ""}${who}. Keys are this site's pseudonyms.
          ${explained ? "Beside each image: which patches spoke for what was said (orange) and which against it (blue), compared with an evenly grey image (integrated gradients). It shows what moved the network, not that it was right to." : null}</p>`,
        shown.every(({ shapes }) => shapes.kind === "classes")
          ? null
          : markup`<ul class="legend key"><li class="said"><span>said</span></li><li class="truth"><span>labelled</span></li></ul>`,
        markup`<ul class="cases${explained ? " pairs" : ""}">${shown.map((each, i) => markup`<li>${figure(each, i + 1)}</li>`)}</ul>`,
      ),
    ];
  });
}

function figure(each: Case, number: number): Markup {
  const name = `${each.choice} case ${number}`;
  const { shapes } = each;
  return markup`<figure><div class="views">${overlay(each, name)}${
    shapes.kind === "classes" && shapes.saliency !== null
      ? heat(each, shapes.saliency, `${name}: what spoke for ${words(shapes.said)}`)
      : null
  }</div>
    <figcaption><strong>${caption(each)}</strong><br><code>${each.image.slice(0, 12)}</code></figcaption>
  </figure>`;
}

function caption({ shapes, goodness }: Case): string {
  switch (shapes.kind) {
    case "classes":
      return `${words(shapes.truth)}, said ${words(shapes.said)} (${(shapes.probability * 100).toFixed(0)} % for the label)`;
    case "masks":
      return `Dice ${goodness.toFixed(3)}`;
    case "boxes":
      return `${shapes.truth.length} labelled, ${shapes.said.length} said (quality ${goodness.toFixed(2)})`;
  }
}
