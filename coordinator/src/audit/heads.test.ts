import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createIdentity, sign } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import { afterAll, beforeAll, expect, it } from "vitest";
import { systemClock } from "../clock.ts";
import { openLibsqlStore } from "../store/libsql-store.ts";
import type { Store } from "../store/store.ts";
import { seeded } from "../testing/coordinator.ts";
import { federation, siteId } from "../testing/values.ts";
import { AuditHeads, COUNTERSIGNATURE_EVENT } from "./heads.ts";

const next = seeded(3);
const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => next() * 256);
const identity = createIdentity(random);
const north = createIdentity(random);

let folder: string;
let store: Store;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-heads-"));
  store = openLibsqlStore(path.join(folder, "store.db"));
});
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

it("asks for a countersignature again that the disk did not take", async () => {
  let isFull = false;
  const ports = {
    identity,
    clock: systemClock,
    store: {
      ...store,
      addAudit: (event: Parameters<Store["addAudit"]>[0]) =>
        isFull ? Promise.reject(new ConsiliumError("disk.full")) : store.addAudit(event),
    },
  };
  const heads = await AuditHeads.open(ports, federation);
  await heads.signAfter(1);
  const head = heads.newest;
  if (head === null) throw new Error("it is signed");
  const site = siteId("north");
  const signed = sign("audit-countersignature", { ...head.body, site }, north);
  const countersign = () => heads.countersign(signed, { site, identity: north.public });

  isFull = true;
  await expect(countersign()).rejects.toMatchObject({ code: "disk.full" });
  expect(heads.countersigners).toEqual([]);
  isFull = false;
  await countersign();
  await countersign();
  expect(heads.countersigners).toEqual(["north"]);
  expect(await store.newestAudit(federation, COUNTERSIGNATURE_EVENT, 10)).toHaveLength(1);
});
