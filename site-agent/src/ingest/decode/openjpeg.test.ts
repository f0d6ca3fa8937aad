/** The vendored decoder: that it is the one that was reviewed, and exact on every style of code-block. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { writeDicom } from "../testing/dicom-fixture.ts";
import { encodeFrame } from "../testing/encode-frame.ts";
import { syntheticImage } from "../testing/synthetic-image.ts";
import { decode } from "./decode.ts";
import { decodeJpeg2000 } from "./openjpeg.ts";

const FOLDER = path.resolve(import.meta.dirname, "../../../openjpeg");
const VECTORS = path.resolve(import.meta.dirname, "../../../../test/vectors/jpeg-2000.json");
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/**
 * Made with opj_compress 2.5.0 from waves and noise, decoded by OpenJPEG 2.5.4 as it is published, compiled for the
 * processor; all but the two of 9/7 gave the source.
 */
const vectors = z
  .array(
    z.strictObject({
      name: z.string(),
      bytesPerSample: z.union([z.literal(1), z.literal(2)]),
      codestream: z.base64(),
      sha256: z.string(),
    }),
  )
  .parse(JSON.parse(readFileSync(VECTORS, "utf8")));

describe("the module", () => {
  const wasm = readFileSync(path.join(FOLDER, "openjpeg.wasm"));

  it("is the one that build.sh gives, as its README says", () => {
    const readme = readFileSync(path.join(FOLDER, "README.md"), "utf8");
    expect(readme).toContain(sha256(wasm));
  });

  it("can reach nothing outside", () => {
    expect(WebAssembly.Module.imports(new WebAssembly.Module(wasm))).toEqual([]);
  });
});

describe("decodes exactly as OpenJPEG does", () => {
  it.each(vectors.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const samples = decodeJpeg2000(Buffer.from(vector.codestream, "base64"), vector.bytesPerSample);
    expect(sha256(samples)).toBe(vector.sha256);
  });

  it("colours of 16 bits, into DICOM's canonical form", async () => {
    const image = syntheticImage({ bitsAllocated: 16, samples: 3, photometric: "RGB" });
    const deep = vectors.find(({ name }) => name === "RGB of 16 bits");
    const pixelData = Buffer.from(deep?.codestream ?? "", "base64");
    const { values } = await decode(
      await writeDicom({ ...image, rows: 12, columns: 16 }, { syntax: "jpeg-2000", pixelData }),
    ).frame(0);
    expect(values).toBeInstanceOf(Uint16Array);
    expect(sha256(new Uint8Array(values.buffer))).toBe(deep?.sha256);
  });
});

it("a codestream that cannot be decoded throws, and leaves nothing behind for the next one", async () => {
  const image = syntheticImage({ rows: 64, columns: 64, bitsAllocated: 16 });
  const whole = await encodeFrame(image, "jpeg-2000");
  const expected = sha256(decodeJpeg2000(whole, 2));
  const noHeader = whole.slice();
  noHeader.fill(0, 4, 40);
  const cut = whole.slice(0, whole.length >> 1);
  for (const damaged of [noHeader, cut, new Uint8Array(0)]) {
    expect(() => decodeJpeg2000(damaged, 2)).toThrow();
    expect(sha256(decodeJpeg2000(whole, 2))).toBe(expected);
  }
});
