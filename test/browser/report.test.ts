/** The demo's report as a person opens it: a file in a real browser. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderReport } from "../../deploy/demo/report/render.ts";
import { chromiumPath, launchBrowser, NO_CHROMIUM, type TestBrowser } from "./support/browser.ts";
import { sampleReport } from "./support/sample-report.ts";

interface Picture {
  readonly decodedPx: number;
  readonly widthPx: number;
  readonly heightPx: number;
  readonly words: string;
}

if (chromiumPath === null) console.warn(NO_CHROMIUM);

describe.skipIf(chromiumPath === null)("report.html in a browser", () => {
  const report = sampleReport();
  let folder: string;
  let url: string;
  let browser: TestBrowser;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "consilium-report-"));
    const file = path.join(folder, "report.html");
    await writeFile(file, renderReport(report));
    url = pathToFileURL(file).href;
    browser = await launchBrowser(chromiumPath ?? "");
  });

  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("opens without a complaint and asks for nothing else", async () => {
    const { page, complaints } = await browser.open();
    const requests: string[] = [];
    page.on("request", (request) => {
      if (!request.url().startsWith("data:")) requests.push(request.url());
    });
    await page.goto(url);
    expect(await page.title()).toContain(report.title);
    expect(requests).toEqual([url]);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("shows every picture, decoded and square, with words for those who cannot see it", async () => {
    const { page } = await browser.open();
    await page.goto(url);
    const pictures = await page.evaluate<Picture[]>(`[...document.images].map((image) => ({
      decodedPx: image.naturalWidth,
      widthPx: image.getBoundingClientRect().width,
      heightPx: image.getBoundingClientRect().height,
      words: image.alt,
    }))`);
    expect(pictures).toHaveLength(report.reconstructions.flatMap(({ images }) => images).length * 3);
    for (const { decodedPx, widthPx, heightPx, words } of pictures) {
      expect(decodedPx).toBe(64);
      expect(widthPx).toBeGreaterThan(60);
      expect(heightPx).toBeCloseTo(widthPx, 0);
      expect(words).toMatch(/hospital-[abc], image \d: /);
    }
    await page.close();
  });

  it("draws one curve for each site and one for all, inside the chart", async () => {
    const { page } = await browser.open();
    await page.goto(url);
    const chart = page.getByRole("img", { name: /^Reconstruction loss by round/ });
    const frame = await chart.boundingBox();
    const curves = chart.locator(".for-wide polyline");
    expect(await curves.count()).toBe(report.hospitals.length + 1);
    for (const curve of await curves.all()) {
      const box = await curve.boundingBox();
      expect(box?.width).toBeGreaterThan(400);
      expect(box?.y).toBeGreaterThanOrEqual(frame?.y ?? Infinity);
      expect((box?.y ?? 0) + (box?.height ?? 0)).toBeLessThan((frame?.y ?? 0) + (frame?.height ?? 0));
    }
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
