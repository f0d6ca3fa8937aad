/** Codestreams that dcmjs-codecs does not write, made with ojph_compress 0.9 (OpenJPH) and cjxl 0.7 (libjxl) from one formula. */
import { expect, it } from "vitest";
import { writeDicom } from "../../testing/dicom-fixture.ts";
import type { FixtureSyntax } from "../../testing/encode-frame.ts";
import { syntheticImage } from "../../testing/synthetic-image.ts";
import { decode } from "../decode.ts";

const ROWS = 6;
const COLUMNS = 8;

const stored = (samples: number): number[] =>
  Array.from({ length: ROWS * COLUMNS * samples }, (_, i) => {
    const [c, x, y] = [i % samples, Math.floor(i / samples) % COLUMNS, Math.floor(i / samples / COLUMNS)];
    return (x * 311 + y * 97 + c * 1201 + ((x * y * c) % 7)) % 4096;
  });

interface Vector {
  readonly name: string;
  readonly syntax: FixtureSyntax;
  readonly samples: 1 | 3;
  readonly codestream: string;
}

const VECTORS: readonly Vector[] = [
  {
    name: "HTJ2K in colour without component transform",
    syntax: "ht-jpeg-2000",
    samples: 3,
    codestream:
      "/0//UQAvQAAAAAAIAAAABgAAAAAAAAAAAAAACAAAAAYAAAAAAAAAAAADCwEBCwEBCwEB/1AACAACAAAAB/9SAAwAAgABAAEEBEAB/1wAByBwcHB4/2QAFgABT3BlbkpQSCBWZXIgMC45LjAu/5AACgAAAAAA7gAB/5PAAWwA/1/nI/uZI4d5RpZjrv9hzPQbfxkAUbcAwAFrgJ3OKLgZOCZKSXAobL607LwT7iDAWZcAwAFsAMJSouhZoicGm4CBz1/e421zGfzKQAOXAMABVQAFUGzYsPmggjICdgDAwMDAwCEBvrYAwAFdAAV0AAqgBUADxhBg5gGPnyDn5wARAgwk+v5AEID3O49YAJvmtfgBA6+kVgDAAWnAAWpAALTACfkvf9HETADAvwCKyV9ccQa2AKH+B0DAAMAwpud4yUYgHuZRQrgAtf4DcAAC4B//AuBCmA9rMIG4AP/Z",
  },
  {
    name: "JPEG XL of 12 bits",
    syntax: "jpeg-xl",
    samples: 1,
    codestream:
      "/wooMBgUFwIIAgEA3ABLGIsVCiUB9QzAro3rsJvd7GY3u9nNbupu1UVlXV2GSt4agMS/dOSlAK+S/JITAQPvi0MWEJMH",
  },
  {
    name: "JPEG XL of 12 bits within boxes",
    syntax: "jpeg-xl",
    samples: 1,
    codestream:
      "AAAADEpYTCANCocKAAAAFGZ0eXBqeGwgAAAAAGp4bCAAAABNanhsY/8KKDAYFBcCCAIBANwASxiLFQolAfUMwK6N67Cb3exmN7vZzW7qbtVFZV1dhkreGoDEv3TkpQCvkvySEwED74tDFhCTBw==",
  },
  {
    name: "JPEG XL of 12 bits in colour",
    syntax: "jpeg-xl",
    samples: 3,
    codestream:
      "/wooMBhQXAgIAgEArAFLGJOOg4MpMOIWyiEYg8NYrBiDexBjsMIBnB+AAIAh/23bDv+3bdsAAAAAAAAAAAAAAMDwHgAAAAAAAAAAACAzAvgPFQNAScTAIIoe9vsYAYglvuT/AfP8QAjLT/mfJyhE7DQUgYEAzO/7Pw==",
  },
];

for (const { name, syntax, samples, codestream } of VECTORS) {
  it(name, async () => {
    const image = syntheticImage({
      ...{ rows: ROWS, columns: COLUMNS, samples, bitsAllocated: 16, bitsStored: 12 },
      photometric: samples === 3 ? "RGB" : "MONOCHROME2",
    });
    const file = await writeDicom(image, { syntax, pixelData: Buffer.from(codestream, "base64") });
    const frame = await decode(file).frame(0);
    expect(Array.from(frame.values)).toEqual(stored(samples));
    expect(frame.photometric).toBe(image.photometric);
  });
}
