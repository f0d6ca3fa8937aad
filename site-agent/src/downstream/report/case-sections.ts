/** Test images to look at, with what was said and what is labelled. */
import { markup, type Markup } from "@consilium/shared/page/markup";
import { MODE_TEXT, ORIGIN_TEXT } from "../describe.ts";
import type { Case, CaseShapes, Exemplar, Saliency } from "../types.ts";
import { section, words } from "./names.ts";
import { heat, overlay } from "./overlay.ts";
import { picturesOf } from "./planes.ts";

export function caseSections({ from, mode, cases }: Exemplar): readonly Markup[] {
  const who = `${ORIGIN_TEXT[from]}, ${MODE_TEXT[mode]}, first seed`;
  return (["worst", "typical"] as const).flatMap((choice) => {
    const shown = cases.filter((each) => each.choice === choice);
    if (shown.length === 0) return [];
    const explained = shown.some(({ shapes }) => saliencyOf(shapes) !== null);
    const ofVolumes = shown.some(({ depthPx }) => depthPx > 1);
    return [
      section(
        choice === "worst" ? "The worst cases" : "In the middle",
        markup`<p class="note">${choice === "worst" ? "Is the network wrong, or the label, or the image? " : ""}${who}. Keys are this site's pseudonyms.
          ${explained ? "Beside each image: which patches spoke for what was said, or for the finding that is named (orange) and which against it (blue), compared with an evenly grey image (integrated gradients). It shows what moved the network, not that it was right to." : null}
          ${ofVolumes ? "Of each volume an axial, a coronal and a sagittal slice: where masks differ most, else through the middle; of what moved the network the layer that told most, and the axial slice in its middle." : null}</p>`,
        shown.every(({ shapes }) => shapes.kind === "classes" || shapes.kind === "finding")
          ? null
          : markup`<ul class="legend key"><li class="said"><span>said</span></li><li class="truth"><span>labelled</span></li></ul>`,
        markup`<ul class="cases${explained || ofVolumes ? " pairs" : ""}">${shown.map((each, i) => markup`<li>${figure(each, i + 1)}</li>`)}</ul>`,
      ),
    ];
  });
}

function figure(each: Case, number: number): Markup {
  const name = `${each.choice} case ${number}`;
  const { shapes } = each;
  const saliency = saliencyOf(shapes);
  const pictures = picturesOf(each);
  const [first] = pictures;
  const layout = pictures.length === 1 ? "views" : `views planes${saliency === null ? "" : " lit"}`;
  return markup`<figure><div class="${layout}">${pictures.map((picture) =>
    overlay(picture, shapes, picture.plane === null ? name : `${name}, ${picture.plane}`),
  )}${
    saliency === null || first === undefined
      ? null
      : heat(first, saliency, `${name}: what spoke for ${askedOf(shapes)}`)
  }</div>
    <figcaption><strong>${caption(each)}</strong><br><code>${each.image.slice(0, 12)}</code></figcaption>
  </figure>`;
}

const saliencyOf = (shapes: CaseShapes): Saliency | null => ("saliency" in shapes ? shapes.saliency : null);

/** What saliency was asked about. */
function askedOf(shapes: CaseShapes): string {
  if (shapes.kind === "classes") return words(shapes.said);
  return shapes.kind === "finding" ? words(shapes.name) : "";
}

function caption({ shapes, goodness }: Case): string {
  switch (shapes.kind) {
    case "classes":
      return `${words(shapes.truth)}, said ${words(shapes.said)} (${(shapes.probability * 100).toFixed(0)} % for the label)`;
    case "finding": {
      const others = shapes.others.length === 0 ? "" : `; also said: ${shapes.others.map(words).join(", ")}`;
      const said = `${(shapes.probability * 100).toFixed(0)} %`;
      return `${words(shapes.name)}: ${shapes.isThere ? "there" : "not there"}, said ${said}${others}`;
    }
    case "masks":
      return `Dice ${goodness.toFixed(3)}`;
    case "boxes":
      return `${shapes.truth.length} labelled, ${shapes.said.length} said (quality ${goodness.toFixed(2)})`;
  }
}
