import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resumeFile, resumeKey, type TrainingPoint } from "./resume.ts";
import { toyPlan, toyRecord } from "./testing/toy.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-resume-"));
});
afterAll(() => rm(folder, { recursive: true }));

const KEY = sha256("a training");
const point: TrainingPoint = {
  losses: [0.5, 0.25],
  elapsedMs: 12.5,
  weights: Float32Array.of(1, 2, 3),
  optimizerState: {
    step: 2,
    firstMoment: Float32Array.of(4, 5, 6),
    secondMoment: Float32Array.of(7, 8, 9),
  },
};

describe("an unfinished training on disk", () => {
  it("is read as it was written", async () => {
    const resume = resumeFile(path.join(folder, "whole"), KEY);
    expect(await resume.read()).toBeNull();
    await resume.write(point);
    expect(await resume.read()).toEqual(point);
  });

  it("counts as none when it is of another training, or damaged anywhere", async () => {
    const file = path.join(folder, "damaged");
    await resumeFile(file, KEY).write(point);
    expect(await resumeFile(file, sha256("another")).read()).toBeNull();
    const bytes = await readFile(file);
    for (let at = 0; at < bytes.length; at += 7) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at);
      await writeFile(file, flipped);
      expect(await resumeFile(file, KEY).read()).toBeNull();
    }
    await writeFile(file, bytes.subarray(0, -1));
    expect(await resumeFile(file, KEY).read()).toBeNull();
  });

  it("is another training with other images, weights, moments, seed or round", () => {
    const request = {
      plan: toyPlan(),
      round: 2,
      seed: 5,
      base: Float32Array.of(1, 2),
      optimizerState: null,
    };
    const cache = { records: [toyRecord(1), toyRecord(2)] };
    const keys = [
      resumeKey(request, cache),
      resumeKey(request, { records: [toyRecord(1)] }),
      resumeKey({ ...request, base: Float32Array.of(1, 3) }, cache),
      resumeKey({ ...request, optimizerState: point.optimizerState }, cache),
      resumeKey({ ...request, seed: 6 }, cache),
      resumeKey({ ...request, round: 3 }, cache),
      resumeKey({ ...request, plan: toyPlan({ localEpochs: 2 }) }, cache),
    ];
    expect(new Set(keys).size).toBe(keys.length);
    expect(resumeKey(request, cache)).toBe(keys[0]);
  });
});
