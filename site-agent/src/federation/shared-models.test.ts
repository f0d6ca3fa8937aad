import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import type { Sha256 } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkpointFolder, type Checkpoints } from "./checkpoints.ts";
import { openSharedModels, sharingStart } from "./shared-models.ts";

const ENCODER = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);
const OTHER = new Uint8Array([1, 2, 3]);
const NAME = sha256(ENCODER);
const PLAN: Pick<Plan, "start"> = {
  start: { sha256: NAME, bytes: ENCODER.length, format: "checkpoint", origin: "a test" },
};

let folder = "";
let shared = "";
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-shared-models-"));
  shared = await openSharedModels(path.join(folder, "shared"));
});
afterEach(() => rm(folder, { recursive: true }));

const homeOf = (home: string): Checkpoints =>
  sharingStart(checkpointFolder(path.join(folder, home)), PLAN, shared, path.join(folder, home));

/** As a download does, up to reading what has arrived. */
async function fetchInto(checkpoints: Checkpoints, bytes: Uint8Array): Promise<Sha256 | null> {
  const part = await checkpoints.part(sha256(bytes));
  const file = await part.open();
  await file.append(bytes);
  await file.close();
  await part.complete();
  return held(checkpoints, sha256(bytes));
}

async function held(checkpoints: Checkpoints, name = NAME): Promise<Sha256 | null> {
  const bytes = await checkpoints.read(name);
  return bytes === null ? null : sha256(bytes);
}

const sharedFile = () => path.join(shared, `${NAME}.ckpt`);

describe("models that homes share", () => {
  it("are left by the home that fetched, and taken by another, which then has a copy of its own", async () => {
    expect(await held(homeOf("chest"))).toBeNull();
    expect(await fetchInto(homeOf("chest"), ENCODER)).toBe(NAME);
    expect(await held(homeOf("knee"))).toBe(NAME);
    await rm(shared, { recursive: true });
    expect(await held(homeOf("knee"))).toBe(NAME);
  });

  it("take the place of the beginning of a download", async () => {
    await fetchInto(homeOf("chest"), ENCODER);
    const file = await (await homeOf("knee").part(NAME)).open();
    await file.append(ENCODER.subarray(0, 500));
    await file.close();
    expect(await held(homeOf("knee"))).toBe(NAME);
  });

  it("are believed by their hash alone: a file that is something else is dropped, and replaced by a good one", async () => {
    for (const wrong of [ENCODER.toReversed(), ENCODER.subarray(1), new Uint8Array(0)]) {
      await writeFile(sharedFile(), wrong);
      expect(await held(homeOf("knee"))).toBeNull();
      expect(await readdir(shared)).toEqual([]);
    }
    await writeFile(sharedFile(), OTHER);
    await fetchInto(homeOf("chest"), ENCODER);
    expect(sha256(await readFile(sharedFile()))).toBe(NAME);
  });

  it("are whole whoever writes at the same time", async () => {
    const homes = Array.from({ length: 8 }, (_, i) => homeOf(`home-${i}`));
    await Promise.all(homes.map((home) => fetchInto(home, ENCODER)));
    expect(sha256(await readFile(sharedFile()))).toBe(NAME);
    expect(await readdir(shared)).toEqual([`${NAME}.ckpt`]);
  });

  it("are the plan's starting model and no other", async () => {
    await fetchInto(homeOf("chest"), OTHER);
    expect(await readdir(shared)).toEqual([]);
    const own = checkpointFolder(path.join(folder, "chest"));
    expect(sharingStart(own, {}, shared, folder)).toBe(own);
  });

  it("may be missing: a home does without a folder that it cannot write to", async () => {
    await rm(shared, { recursive: true });
    await writeFile(shared, "");
    expect(await fetchInto(homeOf("chest"), ENCODER)).toBe(NAME);
    await expect(openSharedModels(path.join(shared, "below"))).rejects.toMatchObject({
      code: "config.invalid",
    });
  });
});
