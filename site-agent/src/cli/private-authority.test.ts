/** A coordinator behind a hospital's own certificate authority, from join to doctor. */
import { once } from "node:events";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createIdentity, sign } from "@consilium/shared/crypto/identity";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import type { SiteId } from "@consilium/shared/ids";
import { formatToken } from "@consilium/shared/protocol/token";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Authority, hasOpenssl } from "../../../test/support/authority.ts";
import { initHome } from "../home/home.ts";
import { toyPlan } from "../training/testing/toy.ts";
import { runInProcess } from "./testing/run-in-process.ts";

const random = (length: number): Uint8Array => new Uint8Array(length).fill(7);

describe.skipIf(!hasOpenssl)("a site whose coordinator has a certificate of a private authority", () => {
  const coordinator = createIdentity(random);
  const plan = toyPlan();
  const site = "st-mary" as SiteId;
  let authority: Authority;
  let folder: string;
  let home: string;
  let server: Server;
  let url: string;

  beforeAll(async () => {
    authority = new Authority();
    folder = await mkdtemp(path.join(tmpdir(), "consilium-private-"));
    home = path.join(folder, "home");
    await initHome(home, site, random, false);
    const { cert, key } = authority.issue("front");
    const reply = {
      federation: plan.federation,
      site,
      coordinator: coordinator.public,
      plan: sign("plan", plan, coordinator),
    };
    // It enrols, and answers nothing else.
    server = createServer({ cert, key }, (request, response) => {
      request.resume();
      response.statusCode = request.url === "/api/enrolments" ? 200 : 503;
      response.end(JSON.stringify(reply));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    authority.close();
    await rm(folder, { recursive: true });
  });

  const run = (...args: readonly string[]) =>
    runInProcess([...args, "--home", home], { userHome: folder, random, sleep: () => Promise.resolve() });
  const token = (): string =>
    formatToken({
      federation: plan.federation,
      site,
      coordinator: coordinator.public,
      secret: toBase64Url(random(32)),
    });
  const join = (...more: readonly string[]) =>
    run("join", "--coordinator", url, "--token", token(), "--accept-plain", ...more);

  it("joins with --ca alone, and needs it no more", async () => {
    expect((await join()).stderr).toContain("code: coordinator.untrusted");
    expect(await join("--ca", path.relative(process.cwd(), authority.caFile))).toMatchObject({ code: 0 });
    const { stdout } = await run("doctor");
    expect(stdout).toMatch(/^ok +proxy +none$/m);
    expect(stdout).toContain(`--ca              ${authority.caFile}`);
    // It was reached: this is its own answer.
    expect(stdout).toMatch(/^fail +coordinator .*HTTP 503/m);
    expect((await run("roster")).stderr).toContain("HTTP 503");
    const roster = await run("roster", "approve", "newcomer");
    expect(roster.stderr).toContain("code: coordinator.unreachable");
  });

  it("takes another file for once, and says so when the one it remembers is gone or is none", async () => {
    const other = path.join(folder, "CANARY.pem");
    await writeFile(other, authority.issue("other").cert);
    const untrusted = "Who waits is not known: The TLS certificates";
    expect((await run("roster", "--ca", other)).stderr).toContain(untrusted);
    expect((await run("roster", "--ca", "")).stderr).toContain(untrusted);
    const ca = await readFile(authority.caFile);
    await rename(authority.caFile, `${authority.caFile}.old`);
    expect((await run("roster")).stderr).toContain("(--ca: the file that was given before cannot be read)");
    await writeFile(authority.caFile, "no PEM");
    expect((await run("roster")).stderr).toContain("(--ca: not PEM");
    await writeFile(authority.caFile, ca);
    expect((await run("roster")).stderr).toContain("HTTP 503");
  });
});
