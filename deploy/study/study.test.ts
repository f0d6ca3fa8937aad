import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Journal, type Cell } from "./journal.ts";
import { parseOptions } from "./options.ts";
import { renderPage, renderTables } from "./results.ts";

let out = "";
beforeEach(async () => {
  out = await mkdtemp(join(tmpdir(), "consilium-study-"));
});
afterEach(() => rm(out, { recursive: true }));

const cell = (encoder: string, fraction: number, value: number, runs = [value]): Cell => ({
  encoder,
  fraction,
  mode: "finetune",
  labels: Math.round(4680 * fraction),
  patients: 40,
  auroc: { value, low: value - 0.02, high: value + 0.02 },
  accuracy: { value, low: value, high: value },
  runs,
});
const TEST = { images: 624, patients: 600 };

describe("a study", () => {
  const options = parseOptions(["--data", "hospitals", "--rounds", "3"]);

  it("goes on where it was: stages and cells are there again", async () => {
    const file = join(out, "study.json");
    const journal = await Journal.open(file, options);
    await journal.finish("federated");
    await journal.add([cell("scratch", 0.01, 0.7, [0.69, 0.71])], TEST);
    const again = await Journal.open(file, options);
    expect(again.isDone("federated")).toBe(true);
    expect(again.isDone("pooled")).toBe(false);
    expect(again.hasCell("scratch", 0.01, "finetune", 2)).toBe(true);
    // More seeds are more work; other shares and modes too.
    expect(again.hasCell("scratch", 0.01, "finetune", 3)).toBe(false);
    expect(again.hasCell("scratch", 0.1, "finetune", 2)).toBe(false);
    await again.add([cell("scratch", 0.01, 0.72, [0.7, 0.72, 0.74])], TEST);
    expect(again.cells).toHaveLength(1);
  });

  it("refuses a folder of another study, and a damaged one, and leaves both as they are", async () => {
    const file = join(out, "study.json");
    await (await Journal.open(file, options)).finish("federated");
    const other = parseOptions(["--data", "hospitals", "--rounds", "4"]);
    const refusal = (promise: Promise<unknown>) =>
      promise.then(
        () => "none",
        (error: unknown) => (error instanceof ConsiliumError ? error.code : "other"),
      );
    expect(await refusal(Journal.open(file, other))).toBe("config.invalid");
    // More seeds do not make it another study.
    expect(await refusal(Journal.open(file, { ...options, seeds: 9 }))).toBe("none");
    const text = await readFile(file, "utf8");
    await writeFile(file, text.slice(0, 30));
    expect(await refusal(Journal.open(file, options))).toBe("config.invalid");
    expect(await readFile(file, "utf8")).toBe(text.slice(0, 30));
  });

  it("ends in one table, encoders in a fixed order, what is missing as a dash", () => {
    const cells = [cell("pooled", 0.01, 0.9), cell("alone b", 0.01, 0.8), cell("scratch", 1, 0.7)];
    expect(renderTables({ cells, test: TEST }).split("\n")).toEqual([
      "  AUROC, whole network  1 % (47 labels)       100 % (4680 labels)",
      "  scratch               –                     0.700 [0.680, 0.720]",
      "  alone b               0.800 [0.780, 0.820]  –",
      "  pooled                0.900 [0.880, 0.920]  –",
    ]);
    const page = renderPage({ cells, test: TEST }, "Study");
    expect(page).toContain("<svg");
    expect(page).toContain("624 images of 600 patients");
  });

  it("takes what can be chosen, and nothing else", () => {
    expect(parseOptions(["--encoders", "federated,scratch", "--fractions", "1,0.1"])).toMatchObject({
      encoders: ["scratch", "federated"],
      fractions: [0.1, 1],
      data: null,
    });
    for (const wrong of [
      ["--encoders", "magic"],
      ["--fractions", "0,1"],
      ["--seeds", "0"],
    ])
      expect(() => parseOptions(wrong)).toThrow();
  });
});
