import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeBoxes, type Box } from "./boxes.ts";
import { ANY_CLASSES, readAllFindings, readClasses } from "./class-source.ts";
import { writeFindings } from "./findings.ts";
import { writeLabels } from "./labels.ts";
import { MaskWriter } from "./masks-writer.ts";

const [A, B, C] = ["a", "b", "c"].map((digit) => digit.repeat(32)) as [string, string, string];
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-classes-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const box = (label: string): Box => ({ label, x: 0, y: 0, width: 1, height: 1 });

describe("classes to tell apart", () => {
  it("are the cache's classes where it has some, else its findings, else nothing", async () => {
    expect(await readClasses(dir, ANY_CLASSES)).toEqual(new Map());
    await writeFindings(
      dir,
      new Map([
        [A, { present: ["nodule"], unknown: [] }],
        [B, { present: [], unknown: [] }],
        [C, { present: [], unknown: ["nodule"] }],
      ]),
    );
    expect(await readClasses(dir, ANY_CLASSES)).toEqual(
      new Map([
        [A, "nodule"],
        [B, "none"],
      ]),
    );
    await writeLabels(dir, new Map([[A, "normal"]]));
    expect(await readClasses(dir, ANY_CLASSES)).toEqual(new Map([[A, "normal"]]));
    expect(await readClasses(dir, { from: "findings", finding: null })).toEqual(
      new Map([
        [A, "nodule"],
        [B, "none"],
      ]),
    );
  });

  it("may be all findings at once, and each is there, not there, or not known", async () => {
    await expect(readAllFindings(dir, null)).rejects.toMatchObject({
      code: "config.invalid",
      culprits: ["classes-from"],
    });
    const findings = new Map([
      [A, { present: ["mass", "nodule"], unknown: [] }],
      [B, { present: ["nodule"], unknown: ["mass"] }],
    ]);
    await writeFindings(dir, findings);
    expect(await readAllFindings(dir, null)).toEqual(findings);
    await writeBoxes(dir, new Map([[C, [box("mass"), box("mass")]]]));
    expect(await readAllFindings(dir, "boxes")).toEqual(new Map([[C, { present: ["mass"], unknown: [] }]]));
    expect(await readClasses(dir, { from: "findings", finding: "mass" })).toEqual(new Map([[A, "mass"]]));
  });

  it("are the presence of boxes or masks where that is asked for", async () => {
    await writeBoxes(
      dir,
      new Map([
        [A, [box("nodule"), box("mass")]],
        [B, [box("mass")]],
        [C, []],
      ]),
    );
    await expect(readClasses(dir, ANY_CLASSES)).rejects.toThrow("--classes-from boxes");
    await expect(readClasses(dir, { from: "boxes", finding: null })).rejects.toThrow(
      "--task findings for all; there are: mass, nodule",
    );
    await expect(readClasses(dir, { from: "boxes", finding: "tumour" })).rejects.toMatchObject({
      code: "config.invalid",
    });
    await expect(readClasses(dir, { from: "masks", finding: null })).rejects.toMatchObject({
      code: "config.invalid",
    });
    expect(await readClasses(dir, { from: "boxes", finding: "nodule" })).toEqual(
      new Map([
        [A, "nodule"],
        [B, "no nodule"],
        [C, "no nodule"],
      ]),
    );
    const writer = new MaskWriter(dir, ["lung", "mass"], { sizePx: 2, depthPx: 1 });
    await writer.append(A, Uint8Array.of(0, 0, 0, 0, 0, 1, 0, 0));
    await writer.append(B, new Uint8Array(8));
    await writer.finish();
    expect(await readClasses(dir, { from: "masks", finding: null })).toEqual(
      new Map([
        [A, "mass"],
        [B, "none"],
      ]),
    );
  });
});
