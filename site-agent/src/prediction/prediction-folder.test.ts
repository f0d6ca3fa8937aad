import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeDicom } from "../ingest/testing/dicom-fixture.ts";
import { syntheticImage } from "../ingest/testing/synthetic-image.ts";
import type { Predicted } from "./predict-folder.ts";
import { writePredictions } from "./prediction-folder.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-predictions-"));
});
afterEach(() => rm(folder, { recursive: true }));

const wanted = () => ({
  out: path.join(folder, "out"),
  head: ["file", "p lung"],
  classes: ["lung"],
  dicom: true,
  nifti: false,
  maker: { model: "lungs", sha256: "ab".repeat(32), software: "0.1.0" },
  stamp: { date: "20261125", time: "143000" },
});
const table = (name: string) => readFile(path.join(folder, "out", name), "utf8");

async function answered(name: string, bytes: Uint8Array | string): Promise<Predicted> {
  const file = { path: path.join(folder, name), relativePath: name };
  await writeFile(file.path, bytes);
  const record = { image: name, patient: "p", rows: 20, columns: 40 } as Extract<
    Predicted,
    { outcome: "answered" }
  >["record"];
  return { file, outcome: "answered", record, answer: { kind: "findings", probabilities: [0.5] } };
}

describe("predictions on disk", () => {
  it("one file that no object can be made about is listed, and the others go on", async () => {
    const image = await writeDicom(syntheticImage({ rows: 20, columns: 40 }));
    const counts = await writePredictions(
      (async function* () {
        yield await answered("a", "no header that the library reads");
        yield await answered("b", image);
        yield { file: { path: "", relativePath: "c" }, outcome: "set-aside", code: "dicom.not-dicom" };
      })(),
      wanted(),
      () => undefined,
    );
    expect(counts).toMatchObject({ answered: 2, lines: 2, dicom: 1, nifti: 0 });
    expect(await table("predictions.csv")).toBe("file,p lung\na,0.5000\nb,0.5000\n");
    expect(await table("set-aside.csv")).toBe("file,code\na,dicom.no-object\nc,dicom.not-dicom\n");
    expect(await readdir(path.join(folder, "out", "dicom"))).toEqual(["b.dcm"]);
  });

  it("are whole tables of what is done at every moment, and stay so when the run ends early", async () => {
    const seen: string[] = [];
    const running = writePredictions(
      (async function* () {
        yield await answered("a", "");
        seen.push(await table("predictions.csv"));
        yield await answered("b", "");
        throw new DOMException("interrupted", "AbortError");
      })(),
      { ...wanted(), dicom: false },
      () => undefined,
    );
    await expect(running).rejects.toThrow("interrupted");
    expect(seen).toEqual(["file,p lung\na,0.5000\n"]);
    expect(await table("predictions.csv")).toBe("file,p lung\na,0.5000\nb,0.5000\n");
    expect(await table("set-aside.csv")).toBe("file,code\n");
  });

  it("of an earlier run stay where a new one comes to nothing", async () => {
    const once = (async function* () {
      yield await answered("a", "");
    })();
    await writePredictions(once, { ...wanted(), dicom: false }, () => undefined);
    const failing = (async function* (): AsyncGenerator<Predicted> {
      yield* [];
      await Promise.reject(new Error("no engine"));
    })();
    await expect(writePredictions(failing, wanted(), () => undefined)).rejects.toThrow("no engine");
    expect(await table("predictions.csv")).toBe("file,p lung\na,0.5000\n");
  });
});
