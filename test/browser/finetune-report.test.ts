/** The report of `consilium-site finetune` as a person opens it: a file in a real browser. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderFinetuneReport } from "../../site-agent/src/downstream/report/page.ts";
import { chromiumPath, launchBrowser, NO_CHROMIUM, type TestBrowser } from "./support/browser.ts";
import { classificationOutcome, shapesOutcome, volumesOutcome } from "./support/sample-outcome.ts";

if (chromiumPath === null) console.warn(NO_CHROMIUM);

const outcomes = [
  { name: "classes", outcome: classificationOutcome() },
  { name: "masks", outcome: shapesOutcome("segmentation") },
  { name: "masks of volumes", outcome: volumesOutcome() },
  { name: "boxes", outcome: shapesOutcome("localization") },
];
const place = { site: "st-mary", train: "train", test: "test" };

describe.skipIf(chromiumPath === null)("the report of a fine-tuning in a browser", () => {
  let folder: string;
  let browser: TestBrowser;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "consilium-finetune-report-"));
    browser = await launchBrowser(chromiumPath ?? "");
  });
  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  });

  it.each(outcomes)(
    "opens without a complaint, asks for nothing and fits light and dark, wide and narrow: $name",
    async ({ outcome, name }) => {
      const file = path.join(folder, `${name}.html`);
      await writeFile(file, renderFinetuneReport(outcome, place));
      const url = pathToFileURL(file).href;
      for (const view of [{ width: 1280 }, { width: 390, colorScheme: "dark" as const }]) {
        const { page, complaints } = await browser.open(view);
        const requests: string[] = [];
        page.on("request", (request) => {
          if (!request.url().startsWith("data:")) requests.push(request.url());
        });
        await page.goto(url);
        expect(requests).toEqual([url]);
        expect(complaints).toEqual([]);
        expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(
          0,
        );
        // Whoever cannot see a picture is told what it shows, once.
        const names = await page.evaluate<string[]>(
          `[...document.querySelectorAll("[role=img]")].map((image) => image.getAttribute("aria-label"))`,
        );
        expect(names.every((name) => name.length > 5)).toBe(true);
        expect(new Set(names).size).toBe(names.length);
        expect(await page.content()).not.toMatch(/NaN|undefined|Infinity|\[object/);
        await page.close();
      }
    },
  );

  it("draws every encoder's curves in one picture, inside its frame", async () => {
    const file = path.join(folder, "curves.html");
    await writeFile(file, renderFinetuneReport(classificationOutcome(), place));
    const { page } = await browser.open();
    await page.goto(pathToFileURL(file).href);
    const names = [
      /^ROC curves: .* for bacterial pneumonia/,
      /^Precision over recall for normal/,
      /^Reliability/,
    ];
    for (const name of names) {
      const chart = page.getByRole("img", { name });
      const frame = await chart.boundingBox();
      const lines = chart.locator("polyline");
      expect(await lines.count()).toBe(6);
      for (const line of await lines.all()) {
        const box = await line.boundingBox();
        expect(box?.x).toBeGreaterThanOrEqual(frame?.x ?? Infinity);
        expect(box?.y).toBeGreaterThanOrEqual(frame?.y ?? Infinity);
        expect((box?.y ?? 0) + (box?.height ?? 0)).toBeLessThan((frame?.y ?? 0) + (frame?.height ?? 0));
      }
    }
    expect(await page.getByRole("img", { name: /plane on which the features/ }).count()).toBe(3);
    expect(await page.getByRole("img", { name: /what spoke for normal/ }).count()).toBe(6);
    await page.close();
  });
});
