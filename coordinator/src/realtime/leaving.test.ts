/** Sites that come, go, and are told to go; connections whose ends meet at an unlucky moment. */
import { sha256 } from "@consilium/shared/canonical";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Coordinator } from "../app.ts";
import type { FederationService } from "../federation/service.ts";
import { Bench, smallModel, testPlan } from "../testing/coordinator.ts";
import { FakeSite, isOpen } from "../testing/fake-site.ts";

const bench = new Bench();
let coordinator: Coordinator;
let service: FederationService;
let north: FakeSite;
let south: FakeSite;
let east: FakeSite;

beforeAll(async () => {
  coordinator = await bench.start({ home: await bench.home(), plan: testPlan({ rounds: 100 }) });
  service = coordinator.federations.get("chest");
  north = await bench.site(coordinator, "north");
  south = await bench.site(coordinator, "south");
  east = await bench.site(coordinator, "east");
  for (const site of [north, south, east]) await site.connect();
  await north.uploadGenesis();
  await north.waitFor(isOpen(1));
});
afterAll(() => bench.end());

const isConnected = (name: string): boolean | undefined =>
  service.status().sites.find(({ site }) => site === name)?.connected;

/** Open sockets of sites, as the metrics say. */
async function openSockets(): Promise<number> {
  const authorization = `Bearer ${coordinator.operatorToken}`;
  const text = await (await fetch(`${coordinator.url}/metrics`, { headers: { authorization } })).text();
  return Number(/^consilium_sockets (\d+)$/m.exec(text)?.[1]);
}

/** The same site on another socket. */
function twinOf(site: FakeSite): FakeSite {
  const twin = new FakeSite(site.site, coordinator.url, smallModel());
  return Object.assign(twin, { identity: site.identity, enrolment: site.enrolment });
}

/** The next hello counts, and is answered late: as where the disk is slow. */
function holdBackHello(): { readonly counted: Promise<void>; readonly letGo: () => void } {
  let count: () => void = () => undefined;
  let letGo: () => void = () => undefined;
  const counted = new Promise<void>((resolve) => (count = resolve));
  const until = new Promise<void>((resolve) => (letGo = resolve));
  const answerHello = service.hello.bind(service);
  service.hello = async (site, hello) => {
    service.hello = answerHello;
    const position = await answerHello(site, hello);
    count();
    await until;
    return position;
  };
  return { counted, letGo };
}

/** Until the coordinator has let go of all but so many connections. */
const socketsLeft = (count: number) => expect.poll(() => openSockets()).toBe(count);

describe("a site", () => {
  it("that comes back before its old connection is gone stays connected", async () => {
    const twin = twinOf(south);
    const { counted, letGo } = holdBackHello();
    const answered = twin.connect();
    await counted;
    const before = await openSockets();
    south.disconnect();
    await socketsLeft(before - 2);
    letGo();
    await answered;
    expect(isConnected("south")).toBe(true);
    twin.disconnect();
    await expect.poll(() => isConnected("south")).toBe(false);
  });

  it("whose connection ends before it is answered is not taken for connected", async () => {
    const { counted, letGo } = holdBackHello();
    const answered = south.connect().catch(() => null);
    await counted;
    const before = await openSockets();
    south.disconnect();
    await socketsLeft(before - 2);
    letGo();
    await expect.poll(() => isConnected("south")).toBe(false);
    await answered;
  });

  it("that waits for signatures is shown neither where the federation stands nor its model", async () => {
    const candidate = await bench.site(coordinator, "candidate");
    await expect(candidate.connect()).rejects.toMatchObject({ code: "roster.pending" });
    for (const event of ["position", "cohort"]) {
      await expect(candidate.ask(candidate.control, event)).rejects.toMatchObject({ code: "roster.pending" });
    }
    const genesis = sha256(candidate.model.genesis);
    expect((await north.download(genesis)).status).toBe(200);
    const refused = await candidate.download(genesis);
    expect(await refused.json()).toMatchObject({ code: "roster.pending" });
  });

  it("that is removed loses its connections and its session with them", async () => {
    const genesis = sha256(east.model.genesis);
    const { control } = east;
    const gone = new Promise((resolve) => control?.on("disconnect", resolve));
    const removed = await fetch(`${coordinator.url}/api/federations/chest/removals`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${coordinator.operatorToken}`,
      },
      body: JSON.stringify({ site: "east" }),
    });
    expect(removed.status).toBe(200);
    await gone;
    expect((await east.download(genesis)).status).toBe(401);
    await expect(east.openSession()).rejects.toMatchObject({ code: "auth.failed" });
  });
});
