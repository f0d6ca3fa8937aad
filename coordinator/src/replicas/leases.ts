/**
 * Which coordinator runs which federation, where several share a database. A federation belongs to whoever holds its
 * advisory lock, on a connection of its own: PostgreSQL frees the lock the moment that the process is gone. Behind the lock
 * stands a row with an epoch: every write names the epoch under which it is made (store/postgres-store.ts), so a holder that
 * was only thought dead cannot write. A holder that hangs keeps its lock; when its row has not been renewed for
 * `expiresMs`, the next one ends its connections.
 */
import { toConsiliumError } from "@consilium/shared/errors";
import { federationIdSchema, type FederationId } from "@consilium/shared/ids";
import pg from "pg";
import type { Logger } from "pino";
import { z } from "zod";
import { applicationName, connectionSettings, typedDatabaseError } from "../store/postgres-connection.ts";
import type { Fence } from "../store/postgres-store.ts";

/** Advisory locks of this project, by class. */
const LOCKS = { federation: 0x636f6e73, startUp: 0x636f6e74 } as const;
const START_UP = { turn: 1, presence: 2 } as const;

const TICK_MS = 1_000;
const EXPIRES_MS = 8_000;
/** Whoever runs more federations lets others go first. */
const MODESTY_MS = 200;
const MOST_MODEST_MS = 2_000;

export interface LeaseOptions {
  readonly databaseUrl: string;
  /** This process, and no other before or after it. */
  readonly replica: string;
  readonly logger: Logger;
}

export interface LeaseHolder {
  /** Runs the federation from now on; rejects if it cannot, and the lease is given back. */
  gained(federation: FederationId): Promise<void>;
  /** Stops; nothing can be written any more. */
  lost(federation: FederationId): Promise<void>;
  /** After every look at the leases. */
  looked(): void;
}

/** Of a federation, as of the last look. */
export interface LeaseView {
  readonly federation: FederationId;
  readonly holder: string | null;
  readonly url: string | null;
}

const leaseRow = z.object({
  federation: federationIdSchema,
  holder: z.string().nullable(),
  url: z.string().nullable(),
  isExpired: z.boolean(),
});
const epochRow = z.object({ federation: federationIdSchema, epoch: z.int() });

/** By the database's clock: those of the machines need not agree. */
const NOW_MS = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT";

export class Leases implements Fence {
  readonly #options: LeaseOptions;
  readonly #held = new Map<FederationId, number>();
  readonly #freeSince = new Map<FederationId, number>();
  #views: readonly LeaseView[] = [];
  #connection: pg.Client | null = null;
  #holder: LeaseHolder | null = null;
  #url = "";
  #hasLooked = false;
  /** How others see that this coordinator is there; null until it is. */
  #presence: "pg_advisory_lock" | "pg_advisory_lock_shared" | null = null;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  epochOf(federation: FederationId): number | null {
    return this.#held.get(federation) ?? null;
  }

  views(): readonly LeaseView[] {
    return this.#views;
  }

  /** Whether a federation of this name is another coordinator's affair; nobody knows before the first look. */
  mayHave(federation: string): boolean {
    return !this.#hasLooked || this.#views.some((view) => view.federation === federation);
  }

  get replica(): string {
    return this.#options.replica;
  }

  /**
   * Runs what may happen in one coordinator at a time: migrations, new plans, clearing up.
   * @param mayBeJoined whether others may run beside this one
   * @param action is told whether no other coordinator runs on this database
   * @throws store.unreachable
   */
  async startUp<T>(
    mayBeJoined: boolean,
    action: (client: pg.Client, isAlone: boolean) => Promise<T>,
  ): Promise<T> {
    const client = await this.#connect();
    const lock = (call: string, key: number) =>
      client.query<{ got: boolean | null }>(`SELECT ${call}($1, $2) AS got`, [LOCKS.startUp, key]);
    await lock("pg_advisory_lock", START_UP.turn);
    try {
      const { rows } = await lock("pg_try_advisory_lock", START_UP.presence);
      const isAlone = rows[0]?.got === true;
      const result = await action(client, isAlone);
      this.#presence = mayBeJoined ? "pg_advisory_lock_shared" : "pg_advisory_lock";
      if (mayBeJoined) await lock(this.#presence, START_UP.presence);
      if (mayBeJoined && isAlone) await lock("pg_advisory_unlock", START_UP.presence);
      return result;
    } catch (error) {
      throw typedDatabaseError(error);
    } finally {
      await lock("pg_advisory_unlock", START_UP.turn).catch(() => undefined);
    }
  }

  /** @param url where other coordinators reach this one */
  start(url: string, holder: LeaseHolder): void {
    this.#url = url;
    this.#holder = holder;
    this.#tick();
  }

  /** Gives everything back; the federations have been closed before. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
    this.#held.clear();
    await this.#connection?.end().catch(() => undefined);
  }

  #tick(): void {
    this.#running = this.#look().catch((error: unknown) => {
      const { code } = toConsiliumError(typedDatabaseError(error));
      this.#options.logger.warn({ code }, "the leases cannot be looked at");
      this.#disconnect();
    });
    void this.#running.then(() => {
      if (!this.#isClosed)
        this.#timer = setTimeout(() => {
          this.#tick();
        }, TICK_MS);
    });
  }

  async #look(): Promise<void> {
    const client = await this.#connect();
    await this.#renew(client);
    const { rows } = await client.query(
      `SELECT f.federation, l.holder, l.url, COALESCE(l.renewed_at_ms < ${NOW_MS} - $1, TRUE) AS "isExpired"
       FROM federations f LEFT JOIN leases l ON l.federation = f.federation ORDER BY f.federation`,
      [EXPIRES_MS],
    );
    const leases = rows.map((row) => leaseRow.parse(row));
    this.#views = leases;
    this.#hasLooked = true;
    this.#holder?.looked();
    for (const lease of leases) {
      if (this.#isClosed || this.#held.has(lease.federation)) continue;
      if (lease.isExpired && lease.holder !== null) await this.#endConnectionsOf(client, lease.holder);
      await this.#tryToGain(client, lease.federation);
    }
  }

  /** The rows say which leases are still this one's. */
  async #renew(client: pg.Client): Promise<void> {
    const { rows } = await client.query(
      `UPDATE leases SET renewed_at_ms = ${NOW_MS} WHERE holder = $1 RETURNING federation, epoch`,
      [this.replica],
    );
    const renewed = new Map(rows.map((row) => epochRow.parse(row)).map((row) => [row.federation, row.epoch]));
    for (const [federation, epoch] of this.#held) {
      if (renewed.get(federation) !== epoch) this.#lose(federation);
    }
  }

  async #tryToGain(client: pg.Client, federation: FederationId): Promise<void> {
    const key = [LOCKS.federation, federation];
    const { rows: locked } = await client.query<{ got: boolean }>(
      "SELECT pg_try_advisory_lock($1, hashtext($2)) AS got",
      key,
    );
    if (locked[0]?.got !== true) {
      this.#freeSince.delete(federation);
      return;
    }
    const nowMs = performance.now();
    const freeSinceMs = this.#freeSince.get(federation) ?? nowMs;
    this.#freeSince.set(federation, freeSinceMs);
    const unlock = () => client.query("SELECT pg_advisory_unlock($1, hashtext($2))", key);
    if (nowMs - freeSinceMs < Math.min(MOST_MODEST_MS, MODESTY_MS * this.#held.size)) {
      await unlock();
      return;
    }
    this.#freeSince.delete(federation);
    const { rows } = await client.query(
      `INSERT INTO leases (federation, epoch, holder, url, renewed_at_ms) VALUES ($1, 1, $2, $3, ${NOW_MS})
       ON CONFLICT (federation) DO UPDATE SET
         epoch = leases.epoch + 1, holder = excluded.holder, url = excluded.url, renewed_at_ms = excluded.renewed_at_ms
       RETURNING federation, epoch`,
      [federation, this.replica, this.#url],
    );
    const { epoch } = epochRow.parse(rows[0]);
    this.#held.set(federation, epoch);
    this.#options.logger.info({ federation, epoch }, "lease taken");
    // Not waited for: other leases have to be renewed meanwhile.
    void this.#holder?.gained(federation).catch((error: unknown) => {
      const { code } = toConsiliumError(error);
      this.#options.logger.error(
        { federation, code },
        "the federation cannot be opened; its lease is given back",
      );
      this.#lose(federation);
    });
  }

  #lose(federation: FederationId): void {
    if (!this.#held.delete(federation)) return;
    this.#options.logger.warn({ federation }, "lease lost");
    void this.#connection
      ?.query("SELECT pg_advisory_unlock($1, hashtext($2))", [LOCKS.federation, federation])
      .catch(() => undefined);
    void this.#holder?.lost(federation).catch(() => undefined);
  }

  /** What is in memory may not be what is in the store any more: everything is read again. */
  doubt(): void {
    for (const federation of [...this.#held.keys()]) this.#lose(federation);
  }

  async #endConnectionsOf(client: pg.Client, replica: string): Promise<void> {
    this.#options.logger.warn(
      { replica },
      "a coordinator does not renew its leases; its connections are ended",
    );
    await client.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND usename = current_user",
      [applicationName(replica)],
    );
  }

  /** Whatever hangs, a new connection begins with all that is true. */
  #disconnect(): void {
    const connection = this.#connection;
    this.#connection = null;
    connection?.end().catch(() => undefined);
    this.doubt();
  }

  async #connect(): Promise<pg.Client> {
    if (this.#connection !== null) return this.#connection;
    const { databaseUrl, replica } = this.#options;
    const settings = { ...connectionSettings(databaseUrl, replica), query_timeout: EXPIRES_MS };
    const client = new pg.Client(settings);
    const gone = (): void => {
      if (this.#connection !== client) return;
      this.#connection = null;
      this.doubt();
    };
    client.on("error", gone).on("end", gone);
    try {
      await client.connect();
      if (this.#presence !== null) {
        await client.query(`SELECT ${this.#presence}($1, $2)`, [LOCKS.startUp, START_UP.presence]);
      }
    } catch (error) {
      throw typedDatabaseError(error);
    }
    this.#connection = client;
    return client;
  }
}
