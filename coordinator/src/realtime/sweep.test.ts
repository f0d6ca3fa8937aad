import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createIdentity } from "@consilium/shared/crypto/identity";
import type { UploadId } from "@consilium/shared/ids";
import { planHash } from "@consilium/shared/plan";
import pino from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startAggregationThread } from "../aggregation/thread.ts";
import { openFileBlobs } from "../blobs/fs.ts";
import { countIn } from "../counted.ts";
import { Federations } from "../federation/registry.ts";
import { openLibsqlStore } from "../store/libsql-store.ts";
import type { Store, UploadRow } from "../store/store.ts";
import { seeded, testPlan } from "../testing/coordinator.ts";
import { federation, hashOf, header, siteId } from "../testing/values.ts";
import { Uploads } from "./uploads.ts";

const next = seeded(9);
const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => next() * 256);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-sweep-"));
});
afterAll(() => rm(folder, { recursive: true }));

const event = { at: "2026-01-02T03:04:05.000Z", federation, event: "test", data: {} };

async function withSouth(store: Store): Promise<void> {
  const plan = testPlan();
  const signed = { body: plan, signature: "A".repeat(86) };
  await store.createFederation({ federation, plan: signed, planHash: planHash(plan) }, event);
  const site = siteId("south");
  const secretHash = hashOf("secret");
  await store.createInvitation({ secretHash, federation, site, expiresAtMs: 10, usedAtMs: null }, event);
  const { public: identity } = createIdentity(random);
  await store.enrol({ federation, site, identity, enrolledAtMs: 5, removedAtMs: null }, secretHash, event);
}

const idOf = (name: string): UploadId => createHash("md5").update(name).digest("hex") as UploadId;

it("removes bytes that have no row, and none that another coordinator begins to take meanwhile", async () => {
  const root = path.join(folder, "blobs");
  const blobs = await openFileBlobs(root);
  const store = openLibsqlStore(path.join(folder, "store.db"));
  await withSouth(store);
  const rowOf = (upload: UploadId): UploadRow => {
    const object = { kind: "contribution", header: header("south", 1, 1) } as const;
    return { upload, federation, site: siteId("south"), object, sizeBytes: 8, chunkBytes: 4 };
  };
  const stage = async (upload: UploadId) => (await blobs.stage(upload)).writeAt(0, random(4));
  const elsewhere = async (name: string): Promise<void> => {
    await store.createUpload(rowOf(idOf(name)));
    await stage(idOf(name));
  };
  // Another one begins just before each of the two is looked at, and just after.
  const listStaged = blobs.staged.bind(blobs);
  blobs.staged = async () => {
    await elsewhere("before the bytes");
    const staged = await listStaged();
    await elsewhere("after the bytes");
    return staged;
  };
  const identity = createIdentity(random);
  const aggregator = startAggregationThread({ kind: "files", root }, identity);
  const uploads = new Uploads({
    aggregator,
    random,
    federations: new Federations(),
    counted: countIn(new Registry()),
    logger: pino({ level: "silent" }),
    maxGenesisBytes: 1,
    blobs,
    store: {
      ...store,
      uploads: async () => {
        await elsewhere("before the rows");
        const rows = await store.uploads();
        await elsewhere("after the rows");
        return rows;
      },
    },
  });
  await stage(idOf("stray"));
  expect(await uploads.sweep()).toMatchObject({ removed: 0, strays: 1 });
  const names = ["before the bytes", "after the bytes", "before the rows", "after the rows"];
  expect([...(await listStaged())].sort()).toEqual(names.map(idOf).sort());
  await aggregator.close();
  await store.close();
});
