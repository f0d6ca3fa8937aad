import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { tryLock } from "./file-lock.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-lock-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("a lock on a file", () => {
  it("is held once, and again after it was let go", () => {
    const file = path.join(folder, "lock.db");
    const release = tryLock(file);
    expect(release).not.toBeNull();
    expect(tryLock(file)).toBeNull();
    expect(tryLock(file)).toBeNull();
    release?.();
    tryLock(file)?.();
  });

  it("is another process's until that is killed, whatever its number", async () => {
    const file = path.join(folder, "lock.db");
    const module = JSON.stringify(new URL("./file-lock.ts", import.meta.url).href);
    const holder = `const { tryLock } = await import(${module});
      console.log(tryLock(${JSON.stringify(file)}) === null ? "busy" : "held");
      setInterval(() => undefined, 1000);`;
    const asModule = ["--import", import.meta.resolve("tsx"), "--input-type=module", "--eval", holder];
    const child = spawn(process.execPath, asModule, { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const [said] = (await once(child.stdout, "data")) as [Buffer];
      expect(said.toString().trim()).toBe("held");
      expect(tryLock(file)).toBeNull();
    } finally {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    const release = tryLock(file);
    expect(release).not.toBeNull();
    release?.();
  });

  it("cannot be had where there can be no such file, and the error names no path", () => {
    const attempt = () => tryLock(path.join(folder, "CANARY", "lock.db"));
    expect(attempt).toThrow(expect.objectContaining({ code: "disk.denied" }));
    expect(attempt).not.toThrow("CANARY");
  });
});
