/** A PostgreSQL of this process: its data in a temporary folder, reached through a socket there and from nowhere else. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";

export interface PostgresServer {
  /** An empty database of its own, for `--database`. */
  newDatabase(): Promise<string>;
  close(): Promise<void>;
}

const USER = "consilium";

/** Why there is none here, for a test to skip with; null if there is one. */
export const whyNoPostgres: string | null =
  binaries() === null
    ? "no PostgreSQL (apt install postgresql)"
    : process.getuid?.() === 0 && unprivileged() === null
      ? "PostgreSQL does not run as root, and there is no user postgres"
      : null;

export async function startPostgres(): Promise<PostgresServer> {
  const folder = binaries();
  if (folder === null || whyNoPostgres !== null) throw new Error(whyNoPostgres ?? "no PostgreSQL");
  const user = process.getuid?.() === 0 ? unprivileged() : null;
  const identity = user ?? {};
  // Names of sockets are short.
  const home = await mkdtemp("/tmp/consilium-pg-");
  if (user !== null) await chown(home, user.uid, user.gid);
  const data = path.join(home, "data");
  const args = ["-D", data, "-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-instructions"];
  execFileSync(path.join(folder, "initdb"), args, { ...identity, cwd: home, stdio: "ignore" });
  const settings = [
    "listen_addresses=",
    `unix_socket_directories=${home}`,
    "fsync=off",
    "max_connections=60",
  ];
  const server = spawn(
    path.join(folder, "postgres"),
    ["-D", data, ...settings.flatMap((setting) => ["-c", setting])],
    { ...identity, cwd: home, stdio: "ignore" },
  );
  const ended = new Promise<void>((resolve) =>
    server.on("exit", () => {
      resolve();
    }),
  );
  const urlOf = (database: string): string => `postgres://${USER}@localhost/${database}?host=${home}`;
  await until(async () => {
    await query(urlOf("postgres"), "SELECT 1");
  });
  let databases = 0;
  return {
    async newDatabase() {
      const name = `test${++databases}`;
      await query(urlOf("postgres"), `CREATE DATABASE ${name}`);
      return urlOf(name);
    },
    async close() {
      server.kill("SIGQUIT");
      await ended;
      await rm(home, { recursive: true, force: true });
    },
  };
}

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function until(action: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await action();
      return;
    } catch (error) {
      if (tries === 200) throw error;
      await delay(100);
    }
  }
}

/** Debian keeps the server's programs out of the path. */
function binaries(): string | null {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  const folders = versions
    .sort((a, b) => Number(b) - Number(a))
    .map((name) => path.join(debian, name, "bin"));
  const all = [...folders, "/usr/local/bin", "/usr/bin"];
  return all.find((folder) => existsSync(path.join(folder, "initdb"))) ?? null;
}

function unprivileged(): { readonly uid: number; readonly gid: number } | null {
  try {
    const number = (flag: string) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
    return { uid: number("-u"), gid: number("-g") };
  } catch {
    return null;
  }
}
