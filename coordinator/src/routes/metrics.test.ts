/** What Prometheus is told, by a coordinator that has had something to do. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bench, seeded, testPlan } from "../testing/coordinator.ts";
import { isOpen } from "../testing/fake-site.ts";

const bench = new Bench();
let text: string;
/** The value of one series; NaN if there is none. */
const value = (series: string): number =>
  Number(
    text
      .split("\n")
      .find((line) => line.startsWith(`${series} `))
      ?.slice(series.length + 1),
  );

beforeAll(async () => {
  const coordinator = await bench.start({ home: await bench.home(), plan: testPlan({ rounds: 1 }) });
  const [north, south] = [await bench.site(coordinator, "north"), await bench.site(coordinator, "south")];
  await north.connect();
  await south.connect();
  await north.uploadGenesis();
  const next = seeded(3);
  for (const site of [north, south]) {
    const { opening } = await site.waitFor(isOpen(1));
    const { header, sealed } = site.contribution(opening.body, site.randomUpdate(next));
    await site.begin({ kind: "contribution", header }, 1024);
    // Begins again, and sends everything.
    await site.contribute({ header, sealed });
  }
  await north.waitFor(({ phase }) => phase === "finished");
  await north.ask(north.control, "hello", { protocol: 1 }).catch(() => undefined);
  south.disconnect();
  const headers = { authorization: `Bearer ${coordinator.operatorToken}` };
  await fetch(`${coordinator.url}/api/federations/CANARY`, { headers });
  do {
    text = await (await fetch(`${coordinator.url}/metrics`, { headers })).text();
  } while (value('consilium_sites{federation="chest",state="disconnected"}') !== 1);
});
afterAll(() => bench.end());

describe("metrics", () => {
  it("count rounds, sites, resumed and committed uploads, refusals and bytes", () => {
    expect(value('consilium_rounds{federation="chest",outcome="aggregated"}')).toBe(1);
    expect(value('consilium_rounds{federation="chest",outcome="abandoned"}')).toBe(0);
    expect(value("consilium_upload_resumptions_total")).toBe(2);
    const commits = 'consilium_upload_commit_seconds_count{kind="contribution",outcome="accepted"}';
    expect(value(commits)).toBe(2);
    expect(value('consilium_refusals_total{over="socket",code="protocol.invalid-message"}')).toBe(1);
    expect(value('consilium_refusals_total{over="http",code="protocol.invalid-message"}')).toBe(1);
    expect(value('consilium_network_bytes_total{direction="in"}')).toBeGreaterThan(4 * 1024);
    expect(value('consilium_network_bytes_total{direction="out"}')).toBeGreaterThan(1024);
    expect(value("consilium_coordinator_nodejs_eventloop_lag_p99_seconds")).toBeGreaterThan(0);
    expect(value("consilium_coordinator_process_resident_memory_bytes")).toBeGreaterThan(1e6);
  });

  it("each say what they are and of which type", () => {
    const names = new Set(
      [...text.matchAll(/^(consilium_\w+?)(?:_bucket|_sum|_count)?[{ ]/gm)].map(([, name]) => name),
    );
    for (const name of names) {
      expect(text).toMatch(new RegExp(`^# HELP ${name} \\w`, "m"));
      expect(text).toMatch(new RegExp(`^# TYPE ${name} (counter|gauge|histogram)$`, "m"));
    }
  });

  it("name sites only where each is watched by itself, and repeat nothing that was sent", () => {
    const naming = text.split("\n").filter((line) => /"(north|south)"/.test(line));
    const series = new Set(naming.map((line) => line.replace(/\{.*/, "")));
    expect([...series].sort()).toEqual([
      "consilium_contributions",
      "consilium_received_bytes",
      "consilium_site_last_seen_timestamp_seconds",
    ]);
    expect(text).not.toContain("CANARY");
  });
});
