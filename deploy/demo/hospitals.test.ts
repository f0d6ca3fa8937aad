import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { countClasses, findHospitals, readFormats } from "./hospitals.ts";
import { makeHospital } from "./phantom/hospital.ts";
import { HOSPITALS } from "./phantom/vendors.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "consilium-hospitals-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function hospital(
  name: string,
  labels = "sop_instance_uid,patient_id,label\n1,CANARY,normal\n",
): Promise<void> {
  await mkdir(join(folder, name, "dicom"), { recursive: true });
  if (labels !== "") await writeFile(join(folder, name, "labels.csv"), labels);
}

async function refusal(): Promise<ConsiliumError> {
  const error: unknown = await findHospitals(folder).catch((reason: unknown) => reason);
  if (error instanceof ConsiliumError) return error;
  throw new Error("it was not refused");
}

describe("a folder of hospitals", () => {
  it("is its sub-folders, test apart, each named as a site can be", async () => {
    await Promise.all(["St. Mary's", "hospital-b", "test", ".hidden"].map((name) => hospital(name)));
    const { sites, test } = await findHospitals(folder);
    expect(sites.map(({ site }) => site)).toEqual(["st-mary-s", "hospital-b"]);
    expect(sites[0]?.images).toBe(join(folder, "St. Mary's", "dicom"));
    expect(test.site).toBe("test");
  });

  it("needs two hospitals, a test folder and labels", async () => {
    await hospital("hospital-a");
    await hospital("test");
    expect((await refusal()).code).toBe("config.invalid");
    await hospital("hospital-b");
    expect((await findHospitals(folder)).sites).toHaveLength(2);
    await rm(join(folder, "test", "labels.csv"));
    expect((await refusal()).message).toContain("test");
  });

  it("may have hospitals without labels, but not all", async () => {
    await hospital("test");
    await hospital("hospital-a", "");
    await hospital("hospital-b", "");
    expect((await refusal()).message).toContain("labels");
    await hospital("hospital-b");
    expect((await findHospitals(folder)).sites.map(({ labels }) => labels === null)).toEqual([true, false]);
  });

  it("must not give two sites one name", async () => {
    await Promise.all(["a b", "a-b", "test"].map((name) => hospital(name)));
    expect((await refusal()).code).toBe("config.invalid");
  });
});

it("reads how images are written, and no more, from their headers", async () => {
  const [, , c] = HOSPITALS;
  if (c === undefined) throw new Error("there are three hospitals");
  await makeHospital(folder, c, { seed: 1, images: 12 });
  const formats = await readFormats(folder);
  expect(formats.photometricInterpretations).toEqual(["MONOCHROME2"]);
  expect(formats.bitsStored).toEqual([12, 16]);
  const names = formats.transferSyntaxes.map(({ name }) => name).sort();
  expect(names).toEqual(["Explicit VR Little Endian", "JPEG 2000 Lossless"]);
  expect(JSON.stringify(formats)).not.toContain("CANARY");
  expect([...(await countClasses(join(folder, "labels.csv"))).keys()].sort()).toEqual(["normal", "opacity"]);
});
