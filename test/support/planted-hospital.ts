/** A hospital whose files say the word CANARY wherever a file can say something. */
import { mkdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import type { FixtureSyntax } from "../../site-agent/src/ingest/testing/encode-frame.ts";
import { syntheticImage } from "../../site-agent/src/ingest/testing/synthetic-image.ts";
import { CANARY, plantedDicom, plantedUid } from "./canary.ts";

const SYNTAXES: readonly FixtureSyntax[] = [
  "explicit",
  "implicit",
  "big-endian",
  "deflated",
  "rle",
  "jpeg",
  "jpeg-lossless",
  "jpeg-ls",
  "jpeg-2000",
  "ht-jpeg-2000",
];
/** Sound images to train on, and others of other patients to test on. */
export const SOUND = 16;
const TESTED = 4;

/**
 * Files of every kind that a ward may have, sound and unsound, and label files, each with the word in it.
 * @param folder the hospital's; below it `CANARY ward`, `CANARY test`, `CANARY notes` and `CANARY *.csv`
 */
export async function plantHospital(folder: string): Promise<void> {
  const hospital = (...names: readonly string[]): string => path.join(folder, ...names);
  const ward = hospital("CANARY ward");
  await mkdir(path.join(ward, "CANARY bed 1"), { recursive: true });
  const put = (name: string, bytes: Uint8Array | string): Promise<void> =>
    writeFile(path.join(ward, "CANARY bed 1", `CANARY ${name}`), bytes);
  const image = (seed: number) => syntheticImage({ seed, rows: 40, columns: 36 });
  for (let number = 0; number < SOUND; number++) {
    const syntax = SYNTAXES[number % SYNTAXES.length] ?? "explicit";
    await put(`${number}.dcm`, await plantedDicom({ number, syntax, image: image(number) }));
  }
  const sound = await plantedDicom({ number: 0, image: image(0) });
  await put("again.dcm", sound);
  await put("cut.dcm", (await plantedDicom({ number: 50, image: image(50) })).subarray(0, -500));
  await put("cut header.dcm", sound.subarray(0, 2000));
  await put("syntax.dcm", await plantedDicom({ number: 51, image: image(51), uid: `1.2.840.${CANARY}` }));
  await put(
    "burned in.dcm",
    await plantedDicom({ number: 52, image: image(52), elements: [["00280301", "CS", "YES"]] }),
  );
  await put("ultrasound.dcm", await plantedDicom({ number: 53, modality: "US", image: image(53) }));
  await put(
    "frames.dcm",
    await plantedDicom({ number: 54, image: image(54), elements: [["00280008", "IS", "3"]] }),
  );
  await put("no pixels.dcm", await plantedDicom({ number: 55, image: image(55), without: ["00280010"] }));
  await put(
    "short.dcm",
    await plantedDicom({ number: 56, image: image(56), pixelData: Buffer.from(CANARY) }),
  );
  await put("notes.txt", `${CANARY}, born 1970`);
  await put("empty.dcm", "");
  await symlink(hospital("CANARY nowhere"), path.join(ward, "CANARY dangling.dcm"));
  await symlink(ward, path.join(ward, "CANARY loop"));
  // Codestreams with the word in them: decoders refuse, print, trap and hang.
  for (const [i, syntax] of SYNTAXES.slice(4).entries()) {
    for (const share of [0.02, 0.5]) {
      const file = Buffer.from(
        await plantedDicom({ number: 60 + 10 * i + 10 * share, syntax, image: image(i) }),
      );
      const start = file.lastIndexOf(Buffer.from([0xe0, 0x7f, 0x10, 0x00]));
      const from = start + 28 + Math.floor((file.length - start - 60) * share);
      file.fill(CANARY, from, Math.min(file.length - 8, from + 60));
      await put(`trap ${syntax} ${share}.dcm`, file);
    }
  }
  await mkdir(hospital("CANARY test"));
  for (let number = SOUND; number < SOUND + TESTED; number++)
    await writeFile(
      hospital("CANARY test", `CANARY ${number}.dcm`),
      await plantedDicom({ number, image: image(number) }),
    );
  const rows = Array.from(
    { length: SOUND + TESTED },
    (_, n) => `${plantedUid(n)},${CANARY}-${n},${CANARY}^Name,${n % 2 === 0 ? "normal" : "abnormal"}`,
  );
  const header = "sop_instance_uid,patient_id,patient_name,label";
  await writeFile(hospital("CANARY labels.csv"), [header, ...rows].join("\n"));
  await writeFile(
    hospital("CANARY wrong.csv"),
    `${header}\n${plantedUid(0)},x,y,"${CANARY}^Name, born 1970"\n`,
  );
  await writeFile(hospital("CANARY strangers.csv"), `${header}\n2.25.${CANARY}.999,x,y,normal\n`);
  await mkdir(hospital("CANARY notes"));
  await writeFile(hospital("CANARY notes", "CANARY.txt"), CANARY);
}
