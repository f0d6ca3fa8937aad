import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { imageKey } from "../dataset/keys.ts";
import { joinLabels, readLabelFile, type LabelFile } from "./labels.ts";

const secret = new Uint8Array(32).fill(3);
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-labels-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

async function read(text: string | Uint8Array): Promise<LabelFile> {
  const path = join(dir, "labels.csv");
  await writeFile(path, text);
  return readLabelFile(path, secret);
}

const key = (uid: string): string => imageKey(secret, uid);

describe("label files", () => {
  it("reads commas, semicolons and tabs, a byte order mark, quotes, CRLF, and columns in any order and case", async () => {
    const expected = new Map([
      [key("1.2"), "normal"],
      [key("1.3"), "bacterial_pneumonia"],
    ]);
    for (const sign of [",", ";", "\t"]) {
      const rows = [
        ["Label", "patient_id", "SOP_Instance_UID"],
        ["normal", "CANARY", '"1.2"'],
        ["bacterial_pneumonia", "CANARY", " 1.3 "],
      ];
      const text = `\uFEFF${rows.map((row) => row.join(sign)).join("\r\n")}\r\n\r\n`;
      expect((await read(text)).labels).toEqual(expected);
    }
  });

  it("skips rows without a label and counts rows that repeat an image; disagreeing ones give no label", async () => {
    const file = await read("sop_instance_uid,label\n1.1,a\n1.1,a\n1.2,a\n1.2,b\n1.2,a\n1.3,\n1.4,b\n");
    expect(file.labels).toEqual(
      new Map([
        [key("1.1"), "a"],
        [key("1.4"), "b"],
      ]),
    );
    expect(file.duplicates).toBe(3);
    expect(file.conflicts).toEqual([key("1.2")]);
  });

  it("joins by image: new labels win, others stay, conflicts remove", async () => {
    const file = await read("sop_instance_uid,label\n1.1,a\n1.2,b\n1.3,a\n1.3,b\n1.9,a\n");
    const existing = new Map([
      [key("1.1"), "old"],
      [key("1.3"), "old"],
      [key("1.4"), "old"],
    ]);
    const cached = new Set(["1.1", "1.2", "1.3", "1.4"].map(key));
    const { labels, counts } = joinLabels(existing, file, cached);
    expect(labels).toEqual(
      new Map([
        [key("1.1"), "a"],
        [key("1.4"), "old"],
        [key("1.2"), "b"],
      ]),
    );
    expect(counts).toEqual({ matched: 2, unmatched: 1, duplicates: 1, conflicts: 1 });
  });

  it("says which columns it expects and on which row it fails, never a value", async () => {
    const bad = [
      "",
      "uid,label\nCANARY,a\n",
      "sop_instance_uid,diagnosis\nCANARY,a\n",
      "sop_instance_uid,label\n",
      "sop_instance_uid,label\n1.1,CANARY^Name\n",
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
    await expect(readLabelFile(join(dir, "CANARY.csv"), secret)).rejects.toMatchObject({
      code: "labels.invalid",
      message: expect.not.stringContaining("CANARY") as string,
    });
  });
});
