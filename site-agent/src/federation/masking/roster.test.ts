import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { FederationId } from "@consilium/shared/ids";
import { member } from "@consilium/shared/secagg/testing/consortium";
import { afterEach, beforeEach, expect, it } from "vitest";
import { pinsFile } from "./roster.ts";

const federation = "lungs" as FederationId;
const pinned = (site: string, keysOf = site) => ({
  site: member(site).site,
  identity: member(keysOf).identity.public,
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-roster-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it("pins what it sees first, and tells of each site once", async () => {
  const pins = pinsFile(path.join(folder, "roster.json"));
  const first = await pins.accept(federation, [pinned("a"), pinned("b")]);
  expect(first.map(({ site }) => site)).toEqual(["a", "b"]);
  const second = await pins.accept(federation, [pinned("a"), pinned("b"), pinned("c")]);
  expect(second.map(({ site }) => site)).toEqual(["c"]);
  expect(second[0]?.fingerprint).toMatch(/^[0-9a-f ]+$/);
});

it("refuses another key for a site that it knows, until the old one is forgotten", async () => {
  const pins = pinsFile(path.join(folder, "roster.json"));
  await pins.accept(federation, [pinned("a"), pinned("b")]);
  const swapped = [pinned("a"), pinned("b", "mallory")];
  await expect(pins.accept(federation, swapped)).rejects.toMatchObject({
    code: "secagg.roster-changed",
    culprits: ["b"],
  });
  expect(await pins.forget("nobody")).toBe(false);
  expect(await pins.forget("b")).toBe(true);
  expect(await pins.accept(federation, swapped)).toHaveLength(1);
});

it("does not take a damaged file for a first meeting", async () => {
  const file = path.join(folder, "roster.json");
  await writeFile(file, "{");
  await expect(pinsFile(file).accept(federation, [pinned("a")])).rejects.toMatchObject({
    code: "config.invalid",
  });
});
