import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import { encodeCheckpoint, encodeUpdate } from "@consilium/shared/codec";
import { seal } from "@consilium/shared/crypto/envelope";
import { createIdentity } from "@consilium/shared/crypto/identity";
import type { Attempt, Round, Sha256, UploadId } from "@consilium/shared/ids";
import type { Manifest } from "@consilium/shared/manifest";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Blobs } from "../blobs/blobs.ts";
import { openFileBlobs } from "../blobs/fs.ts";
import { seeded } from "../testing/coordinator.ts";
import { federation, siteId } from "../testing/values.ts";
import { ArrivingUpdates } from "./arriving-updates.ts";

const MEBI = 1024 * 1024;
const LENGTH = 700_000;
const next = seeded(3);
const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => next() * 256);
const reader = createIdentity(random);
const manifest: Manifest = { tensors: [{ name: "weight", shape: [LENGTH], dtype: "float32" }] };
const where = { federation, round: 3 as Round, attempt: 2 as Attempt, site: siteId("north") };
const upload = "0123456789abcdef0123456789abcdef" as UploadId;

let folder: string;
let blobs: Blobs;
let base: Sha256;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-arriving-"));
  blobs = await openFileBlobs(folder);
  ({ sha256: base } = await blobs.write([encodeCheckpoint({ manifest, values: new Float32Array(LENGTH) })]));
});
afterAll(() => rm(folder, { recursive: true }));

function sealed(change: { readonly nanAt?: number; readonly chunkBytes?: number; readonly site?: string }) {
  const { nanAt, site = where.site, ...options } = change;
  const values = new Float32Array(LENGTH).fill(0.5);
  if (nanAt !== undefined) values[nanAt] = NaN;
  const context = { kind: "update", ...where, site };
  return seal(encodeUpdate(manifest, values), { reader: reader.public, context, random, ...options });
}

/** Half a mebibyte at a time, each looked at as soon as it is here. */
async function arrive(bytes: Uint8Array, expected = sha256(bytes)): Promise<boolean> {
  const arriving = new ArrivingUpdates(blobs, reader);
  const staged = await blobs.stage(upload);
  try {
    for (let at = 0; at < bytes.length; at += MEBI / 2) {
      const chunk = bytes.slice(at, at + MEBI / 2);
      const end = at + chunk.length;
      await staged.writeAt(at, chunk);
      await arriving.look({ ...where, base }, upload, end);
    }
    return await arriving.finish(upload, expected);
  } finally {
    await (await blobs.stage(upload)).discard();
  }
}

it("sees a whole update while it arrives", async () => {
  expect(await arrive(sealed({}))).toBe(true);
});

it.each([
  ["has no number in its first part", () => sealed({ nanAt: 5 })],
  ["has no number in its last part", () => sealed({ nanAt: LENGTH - 1 })],
  ["is another site's", () => sealed({ site: "south" })],
  ["goes on after its end", () => Buffer.concat([sealed({}), Uint8Array.of(0)])],
  ["ends before its end", () => sealed({}).slice(0, -1)],
  ["is sealed in other chunks, and has to be looked through at once", () => sealed({ chunkBytes: 300_000 })],
])("finds nothing right of an update that %s", async (_what, make) => {
  expect(await arrive(Uint8Array.from(make()))).toBe(false);
});

it("finds nothing right of an update with another hash, or that was not looked at before", async () => {
  expect(await arrive(sealed({}), sha256("another"))).toBe(false);
  expect(await new ArrivingUpdates(blobs, reader).finish(upload, sha256("any"))).toBe(false);
});
