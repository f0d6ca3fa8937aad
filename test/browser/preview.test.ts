/** The preview page as a person at a hospital opens it: a file in a real browser. */
import { GREY_IMAGES } from "@consilium/shared/input-profile";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openImageCache } from "../../site-agent/src/dataset/cache.ts";
import { renderPreview } from "../../site-agent/src/preview/page.ts";
import { samplePreview } from "../../site-agent/src/preview/sample.ts";
import { chromiumPath, launchBrowser, NO_CHROMIUM, type TestBrowser } from "./support/browser.ts";
import { makePreviewCache, RADIOGRAPHS, SLICES, SONOGRAMS } from "./support/preview-cache.ts";

/** Mean grey of parts of each picture, as the browser decodes it. */
const LOOK = `Promise.all([...document.images].map(async (image) => {
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = image.naturalWidth;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const side = image.naturalWidth;
  const { data } = context.getImageData(0, 0, side, side);
  const mean = (x0, x1, y0, y1) => {
    let sum = 0;
    for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) sum += data[4 * (y * side + x)];
    return sum / ((x1 - x0) * (y1 - y0));
  };
  const third = Math.floor(side / 3);
  return {
    words: image.alt,
    side,
    corners: (mean(0, 8, 0, 8) + mean(side - 8, side, 0, 8)) / 2,
    middle: mean(third, 2 * third, third, 2 * third),
  };
}))`;

interface Seen {
  readonly words: string;
  readonly side: number;
  readonly corners: number;
  readonly middle: number;
}

if (chromiumPath === null) console.warn(NO_CHROMIUM);

describe.skipIf(chromiumPath === null)("preview.html in a browser", () => {
  let folder: string;
  let url: string;
  let browser: TestBrowser;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "consilium-preview-"));
    const cache = await openImageCache(await makePreviewCache(folder, 96));
    const groups = samplePreview(cache, 24, 1);
    cache.close();
    const file = path.join(folder, "preview.html");
    await writeFile(
      file,
      renderPreview({ site: "st-mary", cache: "train", sizePx: 96, profile: GREY_IMAGES, seed: 1, groups }),
    );
    url = pathToFileURL(file).href;
    browser = await launchBrowser(chromiumPath ?? "");
  });

  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("opens without a complaint, asks for nothing else and says that the pictures stay", async () => {
    const { page, complaints } = await browser.open();
    const requests: string[] = [];
    page.on("request", (request) => {
      if (!request.url().startsWith("data:")) requests.push(request.url());
    });
    await page.goto(url);
    const text = (await page.locator("main").textContent()) ?? "";
    expect(text).toContain("They stay here.");
    for (const fact of [
      "Radiographs (CR)",
      "Computed tomography (CT)",
      "Ultrasound (US)",
      "siemens",
      "0.78 mm",
    ])
      expect(text).toContain(fact);
    expect(text).not.toMatch(/canary/i);
    expect(requests).toEqual([url]);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("shows every picture the right way round: MONOCHROME1 with dark air, CT in its window, US without its banner", async () => {
    const { page } = await browser.open();
    await page.goto(url);
    const seen = await page.evaluate<Seen[]>(LOOK);
    const of = (modality: string): Seen[] =>
      seen.filter(({ words }) => words.startsWith(`${modality} image`));
    expect(of("CR").length).toBeGreaterThanOrEqual(RADIOGRAPHS);
    expect([of("CT").length, of("US").length]).toEqual([SLICES, SONOGRAMS]);
    for (const { side, corners, middle } of [...of("CR"), ...of("CT")]) {
      expect(side).toBe(96);
      expect(middle).toBeGreaterThan(corners + 30);
    }
    for (const { corners } of of("US")) expect(corners).toBeLessThan(10);
    await page.close();
  });

  it.each([
    { name: "a wide screen", width: 1280 },
    { name: "a phone", width: 390 },
  ])("does not scroll sideways on $name, light or dark", async ({ width }) => {
    for (const colorScheme of ["light", "dark"] as const) {
      const { page } = await browser.open({ width, colorScheme });
      await page.goto(url);
      expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
      await page.close();
    }
  });
});
