import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createIdentity, sign, type RandomBytes } from "@consilium/shared/crypto/identity";
import type { SiteId } from "@consilium/shared/ids";
import { parsePlan, type PlanInput } from "@consilium/shared/plan";
import { planSchema } from "@consilium/shared/plan-schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { enrolmentSchema, type Enrolment } from "../config.ts";
import { fileMode, writeFileAtomic } from "./files.ts";
import { initHome, openHome } from "./home.ts";
import { whileLocked } from "./lock.ts";

/** Different bytes in each call. */
function counting(): RandomBytes {
  let next = 1;
  return (length) => new Uint8Array(length).fill(next++);
}

const site = "st-mary" as SiteId;
let folder: string;
beforeEach(async () => {
  folder = path.join(await mkdtemp(path.join(tmpdir(), "consilium-home-")), "site");
});
afterEach(() => rm(path.dirname(folder), { recursive: true, force: true }));

const coordinator = createIdentity(counting());

function enrolmentFor(input: Partial<PlanInput>): Enrolment {
  const plan = planSchema.parse(parsePlan({ federation: "lungs", title: "Lungs", rounds: 3, ...input }));
  return enrolmentSchema.parse({
    coordinatorUrl: "http://127.0.0.1:1/",
    coordinator: coordinator.public,
    plan: sign("plan", plan, coordinator),
  });
}

describe("a site's home", () => {
  it("keeps secrets to its owner", async () => {
    await initHome(folder, site, counting(), false);
    for (const name of ["identity.json", "hmac.json"]) {
      expect(await fileMode(path.join(folder, name))).toBe(0o600);
    }
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
  });

  it("gives back the identity that was made", async () => {
    const { identity } = await initHome(folder, site, counting(), false);
    expect(await (await openHome(folder)).identity()).toEqual(identity);
  });

  it("is not made twice unless that is forced, and then keeps the secret that caches depend on", async () => {
    const { home, identity } = await initHome(folder, site, counting(), false);
    const secret = await home.hmacSecret();
    await expect(initHome(folder, site, counting(), false)).rejects.toMatchObject({ code: "home.exists" });
    const forced = await initHome(folder, site, (length) => new Uint8Array(length).fill(99), true);
    expect(forced.identity).not.toEqual(identity);
    expect(await forced.home.hmacSecret()).toEqual(secret);
  });

  it("that is not there is missed with the next step, not with a path", async () => {
    await expect(openHome(folder)).rejects.toMatchObject({ code: "home.missing" });
    await expect(openHome(folder)).rejects.not.toThrow(folder);
  });

  it("says which field of a damaged file is wrong, and none of its values", async () => {
    await initHome(folder, site, counting(), false);
    await writeFile(
      path.join(folder, "config.json"),
      JSON.stringify({ schemaVersion: 1, site: "SECRET VALUE", enrolment: null }),
    );
    const opening = openHome(folder);
    await expect(opening).rejects.toMatchObject({ code: "config.invalid", culprits: ["site"] });
    await expect(opening).rejects.not.toThrow("SECRET");
  });

  it("knows whether it has joined, and notices a plan that was altered", async () => {
    const { home } = await initHome(folder, site, counting(), false);
    await expect(home.joined()).rejects.toMatchObject({ code: "home.not-joined" });
    await home.enrol(enrolmentFor({}));
    expect((await home.joined()).plan.rounds).toBe(3);
    const file = path.join(folder, "config.json");
    await writeFile(file, (await readFile(file, "utf8")).replace('"rounds": 3', '"rounds": 4'));
    await expect(home.joined()).rejects.toMatchObject({ code: "crypto.bad-signature" });
  });

  it("drops the old federation's working files when it joins another, and only then", async () => {
    const { home } = await initHome(folder, site, counting(), false);
    await home.enrol(enrolmentFor({}));
    const file = path.join(home.federationFolder, "optimizer.bin");
    await writeFileAtomic(file, "moments");
    await home.enrol(enrolmentFor({}));
    expect(await fileMode(file)).not.toBeNull();
    await home.enrol(enrolmentFor({ rounds: 9 }));
    expect(await fileMode(file)).toBeNull();
  });
});

describe("the lock", () => {
  const quick = () => Promise.resolve("done");

  it("lets one in at a time, though all containers may give their process the same number, and the next when it is done", async () => {
    await whileLocked(folder, "listen", async () => {
      for (let i = 0; i < 2; i++)
        await expect(whileLocked(folder, "ingest", quick)).rejects.toMatchObject({
          code: "home.busy",
          detail: `(consilium-site listen, process ${process.pid})`,
        });
    });
    await expect(whileLocked(folder, "ingest", quick)).resolves.toBe("done");
  });
});
