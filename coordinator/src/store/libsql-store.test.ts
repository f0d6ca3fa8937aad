import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { UploadId } from "@consilium/shared/ids";
import Libsql from "libsql";
import { afterEach, describe, expect, it } from "vitest";
import { openLibsqlStore } from "./libsql-store.ts";
import { lockHome } from "./lock.ts";
import { storeContract } from "./store.contract.ts";
import type { Store } from "./store.ts";

const folders: string[] = [];
const stores: Store[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function newFile(name: string): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "consilium-store-"));
  folders.push(folder);
  return path.join(folder, name);
}

storeContract("libsql", async () => {
  const file = await newFile("coordinator.db");
  const open = () => {
    const store = openLibsqlStore(file);
    stores.push(store);
    return Promise.resolve(store);
  };
  return {
    open,
    reopen: async () => {
      await stores.pop()?.close();
      return open();
    },
  };
});

describe("the database file", () => {
  it("takes a write that changes nothing as the first", async () => {
    const file = await newFile("coordinator.db");
    await openLibsqlStore(file).close();
    const store = openLibsqlStore(file);
    stores.push(store);
    await store.removeUpload("0f".repeat(16) as UploadId);
  });

  it("is not opened by a version older than the one that wrote it", async () => {
    const file = await newFile("coordinator.db");
    await openLibsqlStore(file).close();
    const connection = new Libsql(file);
    connection.exec("INSERT INTO schema_migrations (version) VALUES (999)");
    connection.close();
    expect(() => openLibsqlStore(file)).toThrow(expect.objectContaining({ code: "config.invalid" }));
  });
});

describe("the home's lock", () => {
  it("is held by one coordinator at a time", async () => {
    const file = await newFile("lock.db");
    const release = lockHome(file);
    expect(() => lockHome(file)).toThrow(expect.objectContaining({ code: "home.in-use" }));
    release();
    lockHome(file)();
  });
});
