/**
 * Many sites at one coordinator, a process of its own: what a round costs it without training, how long sites wait for
 * answers, and how much memory it takes. The sites are simulated in this process, over real sockets.
 */
import { randomBytes } from "node:crypto";
import { maskedBlocks } from "@consilium/shared/secagg/encode";
import { vectorLayoutSchema } from "@consilium/shared/secagg/layout-schema";
import type { MaskTerm } from "@consilium/shared/secagg/masks";
import { atMost, choose, type Benchmark, type Figure, type Target } from "./bench.ts";
import { MeasuredCoordinator } from "./federation/coordinator.ts";
import { disperse, gather } from "./federation/crowd.ts";
import { maskedRound } from "./federation/simulated-site.ts";

const SITES = 200;
const PARAMETERS = 1_000_000;
/** A site has at most 100 neighbours (shared/secagg/mesh.ts), and a mask of its own. */
const MASKS = 101;
const MEMORY = { sites: 50, parameters: 22_000_000 } as const;
const MEBI = 1024 * 1024;

const PARTS = ["masked", "plain", "memory"] as const;

interface RoundCost {
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly longestWaitMs: number;
  readonly longestWait: string;
}

const plan = (secure: "masked" | "plain", sites: number) => ({
  federation: "scale",
  title: "Scale",
  rounds: 1,
  minSites: sites,
  aggregation: { secure },
});

async function measureRound(
  secure: "masked" | "plain",
  count: number,
  parameters: number,
  log: (line: string) => void,
): Promise<RoundCost> {
  const coordinator = await MeasuredCoordinator.start(plan(secure, count));
  try {
    log(`${secure}: ${count} sites join`);
    const crowd = await gather(coordinator, count, parameters);
    const { sites, opening, waits } = crowd;
    // Sealed before, as masked ones are: this process does for one site after the other what real ones do beside each other.
    const sealed = secure === "plain" ? sites.map((site) => site.sealPlain(opening)) : [];
    const before = await coordinator.usage();
    const startedMs = performance.now();
    if (secure === "masked") {
      await maskedRound(sites, opening, coordinator.plan, (step) => {
        log(`  ${step}`);
      });
    } else {
      await Promise.all(sealed.map((send) => send()));
    }
    await coordinator.says("federation.finished");
    const wallSeconds = (performance.now() - startedMs) / 1000;
    const after = await coordinator.usage();
    disperse(crowd);
    const longest = [...waits].map(([event, all]) => ({ event, ms: Math.max(...all) }));
    const { event, ms } = longest.reduce((a, b) => (b.ms > a.ms ? b : a));
    return {
      cpuSeconds: after.cpuSeconds - before.cpuSeconds,
      wallSeconds,
      longestWaitMs: ms,
      longestWait: event,
    };
  } finally {
    await coordinator.close();
  }
}

/** Of one update at a time from each site, as they come; all sites at once. */
async function measureMemory(log: (line: string) => void): Promise<{ idle: number; peak: number }> {
  const { sites: count, parameters } = MEMORY;
  const coordinator = await MeasuredCoordinator.start(plan("plain", count));
  try {
    const idle = (await coordinator.usage()).residentBytes;
    log(`memory: ${count} sites of ${parameters / 1e6} M parameters`);
    const { peakBytes } = await coordinator.watchMemory(async () => {
      const crowd = await gather(coordinator, count, parameters);
      // Sealed one after another, so that this process stays small; sent while the next ones are sealed.
      for (let start = 0; start < count; start += 5) {
        await Promise.all(crowd.sites.slice(start, start + 5).map((site) => site.sealPlain(crowd.opening)()));
      }
      await coordinator.says("federation.finished");
      disperse(crowd);
    });
    return { idle, peak: peakBytes };
  } finally {
    await coordinator.close();
  }
}

/** What a real site does in its own time: all its masks and its encoding. */
function maskGenerationSeconds(): number {
  const layout = vectorLayoutSchema.parse({
    sites: SITES,
    link: "wide",
    examplesCap: 1000,
    tensors: [{ name: "weight", length: PARAMETERS, bound: 0.05 }],
  });
  const random = (length: number) => new Uint8Array(randomBytes(length));
  const terms = Array.from({ length: MASKS }, (_, i): MaskTerm => ({
    key: random(32),
    sign: i % 2 === 0 ? 1 : -1,
  }));
  const values = { update: new Float32Array(PARAMETERS), examples: 10, extras: {}, roundingKey: random(32) };
  const before = process.cpuUsage();
  let bytes = 0;
  for (const block of maskedBlocks(layout, values, terms)) bytes += block.bytes.length;
  if (bytes === 0) throw new Error("there are masks");
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

export const scale: Benchmark = {
  name: "scale",
  summary: "200 simulated sites at one coordinator: its processor time, how long sites wait, its memory",
  help: `--sites 200                how many
  --model masked,plain      which parts; also: memory (50 sites of 22 M parameters)`,
  run: async ({ models, sites }, log) => {
    const results: Figure[] = [];
    const targets: Target[] = [];
    const count = sites ?? SITES;
    for (const part of choose("model", models, PARTS, PARTS)) {
      if (part === "memory") {
        const { idle, peak } = await measureMemory(log);
        const modelBytes = 4 * MEMORY.parameters;
        results.push(
          { label: "memory: idle", value: idle / MEBI, unit: "MiB" },
          { label: "memory: largest", value: peak / MEBI, unit: "MiB" },
        );
        const name = `memory above idle, ${MEMORY.sites} sites of ${MEMORY.parameters / 1e6} M, of one model`;
        targets.push(atMost(name, (peak - idle) / modelBytes, 2.5));
        continue;
      }
      const cost = await measureRound(part, count, PARAMETERS, log);
      results.push({ label: `${part}: the round, sites included`, value: cost.wallSeconds, unit: "s" });
      targets.push(
        atMost(`${part}: coordinator's processor time of a round`, cost.cpuSeconds, 5, " s"),
        atMost(`${part}: longest wait for an answer (${cost.longestWait})`, cost.longestWaitMs, 1000, " ms"),
      );
    }
    log("mask generation of one site");
    results.push({
      label: `a site's own work: ${MASKS} masks of ${PARAMETERS / 1e6} M elements`,
      value: maskGenerationSeconds(),
      unit: "s of one core",
    });
    return {
      results,
      targets,
      notes: [
        "Sites are simulated in one process: what they wait includes what that process needs to send and read.",
        "They leave out the pair masks, which cancel; the coordinator's work is the same.",
      ],
    };
  },
};
