/** The preview as a page: what training sees, for a human eye. */
import { rangesFor, type GreyRange, type InputProfile } from "@consilium/shared/input-profile";
import { htmlDocument } from "@consilium/shared/page/document";
import { markup, type Markup } from "@consilium/shared/page/markup";
import type { PreviewGroup, PreviewImage } from "./sample.ts";

export interface PreviewPage {
  readonly site: string;
  readonly cache: string;
  readonly sizePx: number;
  /** How values became grey. */
  readonly profile: InputProfile;
  readonly seed: number;
  readonly groups: readonly PreviewGroup[];
}

const STYLE = `
main { max-width: 1180px; }
.look { margin: 0; padding-left: 1.2em; display: grid; gap: 3px; font-size: 14.5px; max-width: 80ch; }
.look b { font-weight: 650; }
.head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 14px; }
.grid { list-style: none; display: grid; gap: 18px 16px; grid-template-columns: repeat(auto-fill, minmax(168px, 1fr)); }
.grid figure { display: grid; gap: 6px; }
.grid img { width: 100%; height: auto; display: block; border-radius: 6px; background: #000; }
.grid figcaption { font-size: 12.5px; line-height: 1.4; color: var(--dim); }
.grid figcaption strong { color: var(--ink); font-weight: 600; }
.grid code { font-size: 11.5px; }
.grey { display: block; width: 100%; height: 26px; color: var(--accent); }
.grey rect { fill: currentColor; }
.ramp { height: 4px; border-radius: 2px; margin-top: -4px; background: linear-gradient(to right, #000, #fff); border: 1px solid var(--hairline); }
@media (max-width: 640px) { .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 14px 10px; } }
@media print { .grid { grid-template-columns: repeat(5, 1fr); } }
`;

export function renderPreview(page: PreviewPage): string {
  const shown = page.groups.reduce((sum, { images }) => sum + images.length, 0);
  const total = page.groups.reduce((sum, group) => sum + group.total, 0);
  const body = markup`<header class="top">
    <p class="eyebrow">Consilium · ${page.site}</p>
    <h1>What training sees</h1>
    <p class="lead"><strong>${count(shown)} of ${count(total)} images</strong> of the cache ${page.cache}, drawn at random, exactly as
      they are kept: ${page.sizePx} × ${page.sizePx} pixels of grey.</p>
  </header>
  <section>
    <p class="caution"><strong>These are pictures of patients. They stay here.</strong> Only your account can read this file, and nothing in it
      has left this site. Do not send it; delete it when you have looked.</p>
    <ul class="look">
      <li><b>Text in a picture?</b> A name or a date that is burned in must not be trained on: take such files out of the folder and make the cache anew.</li>
      <li><b>Black and white the wrong way round?</b> Air is dark and bone is bright in every image.</li>
      <li><b>Something else than you meant?</b> Other parts of the body, reports, calibration images, empty corners.</li>
    </ul>
  </section>
  ${page.groups.map((group) => groupSection(group, page.profile))}
  <footer><span>Seed ${page.seed}: the same seed draws the same images.</span>
    <span>The bars count the pixels from black to white, heights as square roots.</span>
    <span>This file is complete in itself: it loads nothing and runs no script.</span></footer>`;
  return htmlDocument(`Preview of ${page.cache}`, STYLE, body);
}

function groupSection({ modality, total, images }: PreviewGroup, profile: InputProfile): Markup {
  return markup`<section aria-label="${MODALITIES[modality] ?? modality}">
    <div class="head"><h2>${MODALITIES[modality] ?? modality}</h2>
      <p class="note">${images.length} of ${count(total)} · ${howMadeGrey(modality, profile)}</p></div>
    <ul class="grid">${images.map((image, i) => markup`<li>${figure(image, modality, i + 1)}</li>`)}</ul>
  </section>`;
}

function figure({ key, facts, picture, histogram }: PreviewImage, modality: string, number: number): Markup {
  const { view, bodyPart, rows, columns, vendor, spacingUm } = facts;
  const what = [view, bodyPart?.toLowerCase()].filter((fact) => fact != null).join(" · ");
  const size = `${columns} × ${rows}${facts.left === undefined ? "" : ", cropped"}`;
  const maker = vendor === "other" ? "other vendor" : vendor;
  const machine = [maker, spacingUm === undefined ? null : `${spacingUm / 1000} mm`].filter(
    (fact) => fact != null,
  );
  return markup`<figure>
    <img src="${picture}" alt="${modality} image ${number}, key ${key}">
    ${bars(histogram)}<div class="ramp"></div>
    <figcaption><strong>${what === "" ? "view not given" : what}</strong><br>${size}${machine.map((fact) => ` · ${fact}`)}<br><code>${key}</code></figcaption>
  </figure>`;
}

/** Square roots, because background fills one bar many times higher than the rest. */
function bars(histogram: readonly number[]): Markup {
  const tallest = Math.sqrt(Math.max(1, ...histogram));
  return markup`<svg class="grey" viewBox="0 0 ${histogram.length} 10" preserveAspectRatio="none" aria-hidden="true">${histogram.map(
    (pixels, step) => {
      const height = Math.round((Math.sqrt(pixels) / tallest) * 100) / 10;
      return markup`<rect x="${step + 0.08}" y="${10 - height}" width="0.84" height="${height}"/>`;
    },
  )}</svg>`;
}

const MODALITIES: Readonly<Record<string, string>> = {
  CR: "Radiographs (CR)",
  CT: "Computed tomography (CT)",
  DX: "Radiographs (DX)",
  MG: "Mammograms (MG)",
  MR: "Magnetic resonance (MR)",
  OT: "Modality not known (OT)",
  US: "Ultrasound (US)",
};

function howMadeGrey(modality: string, profile: InputProfile): string {
  const crop = modality === "US" ? "cropped to the declared region; " : "";
  const ways = new Set(rangesFor(profile, modality).map(rangeText));
  return `${crop}${[...ways].join("; ")}`;
}

function rangeText(range: GreyRange): string {
  switch (range.range) {
    case "percentile":
      return `black and white at each image's own ${range.low * 100} and ${range.high * 100} % of the pixels`;
    case "window":
      return `window of ${range.width} around ${range.center} HU`;
    case "header":
      return "the window that the header names, else 0.5 and 99.5 % of the pixels";
  }
}

const count = (value: number): string => value.toLocaleString("en-GB");
