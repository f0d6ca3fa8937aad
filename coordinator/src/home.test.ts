import { readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openHome, readOperatorAccess, removeAddress, writeAddress } from "./home.ts";
import { Bench, seeded } from "./testing/coordinator.ts";

const bench = new Bench();
afterAll(() => bench.end());
const next = seeded(2);
const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => next() * 256);

describe("the home folder", () => {
  it("is made at the first start and stays the same", async () => {
    const folder = path.join(await bench.home(), "new");
    const first = await openHome(folder, random);
    expect(await openHome(folder, random)).toEqual(first);
  });

  it("shows its secrets to its owner alone", async () => {
    const folder = path.join(await bench.home(), "new");
    await openHome(folder, random);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    for (const file of ["identity.json", "operator.token"]) {
      expect((await stat(path.join(folder, file))).mode & 0o777).toBe(0o600);
    }
  });

  it("is not silently given a new identity when the old one is damaged", async () => {
    const folder = await bench.home();
    await openHome(folder, random);
    const file = path.join(folder, "identity.json");
    const damaged = (await readFile(file, "utf8")).slice(0, 30);
    await writeFile(file, damaged);
    await expect(openHome(folder, random)).rejects.toMatchObject({ code: "config.invalid" });
    expect(await readFile(file, "utf8")).toBe(damaged);
  });

  it("cannot lie where nothing can be written", async () => {
    const file = path.join(await bench.home(), "file");
    await writeFile(file, "");
    await expect(openHome(path.join(file, "home"), random)).rejects.toMatchObject({ code: "config.invalid" });
  });

  it("says where its coordinator listens, while one does", async () => {
    const folder = await bench.home();
    await expect(readOperatorAccess(folder)).rejects.toMatchObject({ code: "config.invalid" });
    const { operatorToken } = await openHome(folder, random);
    await expect(readOperatorAccess(folder)).rejects.toMatchObject({ code: "coordinator.unreachable" });
    await writeAddress(folder, "http://127.0.0.1:8470");
    expect(await readOperatorAccess(folder)).toEqual({ url: "http://127.0.0.1:8470", token: operatorToken });
    await removeAddress(folder);
    await expect(readOperatorAccess(folder)).rejects.toMatchObject({ code: "coordinator.unreachable" });
  });
});
