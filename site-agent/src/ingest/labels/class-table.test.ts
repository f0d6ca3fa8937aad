import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { imageKey } from "../../dataset/keys.ts";
import { readClassTable } from "./class-table.ts";
import type { LabelItem } from "./item.ts";
import { NO_IMAGES } from "./geometry.ts";
import { labelFiles } from "./source.ts";

const secret = new Uint8Array(32).fill(3);
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-labels-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

async function read(text: string | Uint8Array): Promise<LabelItem[]> {
  const path = join(dir, "labels.csv");
  await writeFile(path, text);
  const found: LabelItem[] = [];
  for await (const { items } of labelFiles(path, secret, () => Promise.resolve(NO_IMAGES)))
    for await (const item of items) found.push(item);
  return found;
}

const classes = (uid: string, ...names: string[]): LabelItem => ({
  kind: "classes",
  image: imageKey(secret, uid),
  classes: names,
  unknown: [],
  among: null,
});

describe("tables of classes", () => {
  it("come with commas, semicolons and tabs, a byte order mark, quotes, CRLF, and columns in any order and case", async () => {
    for (const sign of [",", ";", "\t"]) {
      const rows = [
        ["Label", "patient_id", "SOP_Instance_UID"],
        ["normal", "CANARY", '"1.2"'],
        ["bacterial_pneumonia", "CANARY", " 1.3 "],
        ["", "CANARY", "1.4"],
      ];
      const text = `\uFEFF${rows.map((row) => row.join(sign)).join("\r\n")}\r\n\r\n`;
      expect(await read(text)).toEqual([classes("1.2", "normal"), classes("1.3", "bacterial_pneumonia")]);
    }
  });

  it("may give several findings in one column or a column each; rows of blanks are not labelled", async () => {
    expect(await read("sop_instance_uid,label\n1.1,b|a|b\n1.2,a\n")).toEqual([
      classes("1.1", "a", "b"),
      classes("1.2", "a"),
    ]);
    const flags =
      "sop_instance_uid,Nodule,Sex,Effusion,age,Notes\n1.1,1,1,1.0,70,CANARY\n1.2,0,0,,50,\n1.3,,1,,60,\n";
    const among = ["effusion", "nodule"];
    expect(await read(flags)).toEqual([
      { ...classes("1.1", "effusion", "nodule"), among },
      { ...classes("1.2"), among },
    ]);
    const chexpert = "sop_instance_uid,nodule,effusion,mass\n1.1,1,,-1\n1.2,0.0,-1,1\n1.3,-1,,\n1.4,,0,\n";
    const three = { among: ["effusion", "mass", "nodule"] };
    expect(await read(chexpert)).toEqual([
      { ...classes("1.1", "nodule"), unknown: ["effusion", "mass"], ...three },
      { ...classes("1.2", "mass"), unknown: ["effusion"], ...three },
      { ...classes("1.4"), unknown: ["mass", "nodule"], ...three },
    ]);
  });

  it("say which columns they expect and on which row they fail, never a value", async () => {
    const bad = [
      "",
      "uid,label\nCANARY,a\n",
      "sop_instance_uid,diagnosis\nCANARY,a\n",
      "sop_instance_uid,label\n",
      "sop_instance_uid,label\n1.1,CANARY^Name\n",
      "sop_instance_uid,label\n1.1,a|CANARY^Name\n",
      "sop_instance_uid,label\n1.1,CANARY <script>\n",
      `sop_instance_uid,label\n1.1,${"CANARY".repeat(20)}\n`,
      "sop_instance_uid,label\n,CANARY\n",
      'sop_instance_uid,label\n1.1,"CANARY\n',
      'sop_instance_uid,label\n1.1,a"CANARY"\n',
      Uint8Array.from([0xff, 0xfe, 0x00, 0x43, 0x41, 0x4e]),
      `sop_instance_uid,label\n${Array.from({ length: 80 }, (_, i) => `1.${i},CANARY${i}`).join("\n")}\n`,
    ];
    for (const text of bad) {
      const error: unknown = await read(text).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "labels.invalid" });
      expect((error as Error).message).not.toContain("CANARY");
    }
    await expect(
      readClassTable(join(dir, "CANARY.csv"), (uid) => imageKey(secret, uid)).next(),
    ).rejects.toMatchObject({
      code: "labels.invalid",
      message: expect.not.stringContaining("CANARY") as string,
    });
  });
});

describe("tables of boxes", () => {
  const box = (uid: string, label: string, x: number): LabelItem => ({
    kind: "box",
    image: imageKey(secret, uid),
    box: { label, x, y: 2.5, width: 30, height: 40 },
  });

  it("have a box a row; a row without one is an image without a finding", async () => {
    expect(await read("sop_instance_uid,label,x,y,width,height\n1.1,nodule,1,2.5,30,40\n1.2,,,,,\n")).toEqual(
      [
        box("1.1", "nodule", 1),
        { kind: "looked-at", image: imageKey(secret, "1.2"), at: "boxes", among: null },
      ],
    );
  });

  it("may come in RSNA's form", async () => {
    expect(await read("patientId,x,y,width,height,Target\nab-1,7,2.5,30,40,1\n1.2,,,,,0\n")).toEqual([
      box("ab-1", "opacity", 7),
      { kind: "looked-at", image: imageKey(secret, "1.2"), at: "boxes", among: ["opacity"] },
    ]);
  });

  it("are refused where a box has no area or a number is none", async () => {
    for (const row of ["1.1,a,1,2,0,4", "1.1,a,1,2,CANARY,4", "1.1,a,,2,3,4", "1.1,CANARY^X,1,2,3,4"]) {
      const error: unknown = await read(`sop_instance_uid,label,x,y,width,height\n${row}\n`).catch(
        (e: unknown) => e,
      );
      expect(error).toMatchObject({ code: "labels.invalid" });
      expect((error as Error).message).not.toContain("CANARY");
    }
  });
});
