import type { FederationId } from "@consilium/shared/ids";
import { planHash } from "@consilium/shared/plan";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { auditEvent } from "../audit/events.ts";
import { testPlan } from "../testing/coordinator.ts";
import { startPostgres, whyNoPostgres, type PostgresServer } from "../testing/postgres-server.ts";
import { federation, hashOf } from "../testing/values.ts";
import { connectionSettings } from "./postgres-connection.ts";
import { inPostgres, toPostgres } from "./postgres-schema.ts";
import { migratePostgres, openPostgresStore, type Fence } from "./postgres-store.ts";
import { storeContract } from "./store.contract.ts";
import type { Store } from "./store.ts";

let server: PostgresServer;
const stores: Store[] = [];

async function open(url: string, fence: Fence | null = null): Promise<Store> {
  const pool = new pg.Pool(connectionSettings(url, "test"));
  const store = openPostgresStore(pool, fence);
  stores.push(store);
  const client = await pool.connect();
  try {
    await migratePostgres(client);
  } finally {
    client.release();
  }
  return store;
}

describe.skipIf(whyNoPostgres !== null)(
  `PostgreSQL${whyNoPostgres === null ? "" : `: ${whyNoPostgres}`}`,
  () => {
    beforeAll(async () => {
      server = await startPostgres();
    }, 60_000);
    afterAll(async () => {
      for (const store of stores) await store.close();
      await server.close();
    });

    storeContract("PostgreSQL", async () => {
      const url = await server.newDatabase();
      return { open: () => open(url), reopen: () => open(url) };
    });

    it("is not opened by a version older than the one that wrote it", async () => {
      const url = await server.newDatabase();
      await open(url);
      const client = new pg.Client(url);
      await client.connect();
      await client.query("INSERT INTO schema_migrations (version) VALUES (999)");
      await client.end();
      await expect(open(url)).rejects.toMatchObject({ code: "config.invalid" });
    });

    it("takes nothing from a coordinator whose lease has passed on", async () => {
      const url = await server.newDatabase();
      let epoch: number | null = 1;
      const store = await open(url, { epochOf: () => epoch, doubt: () => undefined });
      const plan = { body: testPlan(), signature: "A".repeat(86) };
      const audit = auditEvent(federation, "event", {}, 0);
      await store.createFederation({ federation, plan, planHash: planHash(plan.body) }, audit);
      const finish = () =>
        store.commit(federation, [{ fact: "federation.finished", checkpoint: hashOf("x") }], 1, [audit]);
      await expect(finish()).rejects.toMatchObject({ code: "lease.lost" });

      const client = new pg.Client(url);
      await client.connect();
      await client.query("INSERT INTO leases VALUES ($1, 1, 'a', 'http://a', 0)", [federation]);
      await finish();
      await client.query("UPDATE leases SET epoch = 2, holder = 'b'");
      await client.end();
      await expect(finish()).rejects.toMatchObject({ code: "lease.lost" });
      epoch = null;
      await expect(finish()).rejects.toMatchObject({ code: "lease.lost" });
      expect(await store.auditAfter(0)).toHaveLength(2);
    });

    it("numbers the audit lines of several writers in one chain", async () => {
      const url = await server.newDatabase();
      const store = await open(url);
      const other = await open(url);
      const names = Array.from({ length: 12 }, (_, i) => `chest-${i}` as FederationId);
      await Promise.all(
        names.map((name, i) =>
          (i % 2 === 0 ? store : other).createFederation(
            {
              federation: name,
              plan: { body: testPlan(), signature: "A".repeat(86) },
              planHash: hashOf(name),
            },
            auditEvent(name, "event", {}, 0),
          ),
        ),
      );
      const lines = await store.auditAfter(0);
      expect(lines.map(({ seq }) => seq)).toEqual(names.map((_, i) => i + 1));
      expect(lines.slice(1).map(({ previous }) => previous)).toEqual(
        lines.slice(0, -1).map(({ hash }) => hash),
      );
    });

    it("says store.unreachable when it does not answer", async () => {
      const store = openPostgresStore(
        new pg.Pool(connectionSettings("postgres://nobody@localhost/none?host=/nonexistent", "test")),
        null,
      );
      await expect(store.federations()).rejects.toMatchObject({ code: "store.unreachable" });
      await store.close();
    });
  },
);

describe("the schema in PostgreSQL's words", () => {
  it("has 64-bit integers, text by bytes, and rows that are numbered where libsql numbers them", () => {
    expect(toPostgres("CREATE TABLE a (b INTEGER, c TEXT) STRICT;")).toBe(
      'CREATE TABLE a (b BIGINT, c TEXT COLLATE "C",\n    rowid BIGINT GENERATED ALWAYS AS IDENTITY\n  );',
    );
    expect(toPostgres("CREATE TABLE a (b INTEGER) STRICT, WITHOUT ROWID;")).toBe(
      "CREATE TABLE a (b BIGINT);",
    );
    expect(inPostgres("SELECT ? WHERE a = ?")).toBe("SELECT $1 WHERE a = $2");
  });
});
