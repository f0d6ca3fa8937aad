/** Many simulated sites at one coordinator, brought to round 1. */
import { encodeCheckpoint } from "@consilium/shared/codec";
import { FINGERPRINT_ROUND, type RoundOpening } from "@consilium/shared/protocol/round";
import { isOpen } from "../../../coordinator/src/testing/fake-site.ts";
import type { MeasuredCoordinator } from "./coordinator.ts";
import { maskedRound, SimulatedSite, type Waits } from "./simulated-site.ts";

/** So large that no site's update can be mistaken for another's, so small that it stays within the plan's bounds. */
const UPDATE = 1e-6;

export interface Crowd {
  readonly sites: readonly SimulatedSite[];
  readonly waits: Waits;
  /** Of round 1. */
  readonly opening: RoundOpening;
}

/** @param parameters of the model */
export async function gather(
  coordinator: MeasuredCoordinator,
  count: number,
  parameters: number,
): Promise<Crowd> {
  const manifest = { tensors: [{ name: "weight", shape: [parameters], dtype: "float32" as const }] };
  const values = Float32Array.from({ length: parameters }, (_, i) => 0.05 * Math.sin(i));
  const model = { manifest, genesis: encodeCheckpoint({ manifest, values }) };
  const update = new Float32Array(parameters).fill(UPDATE);
  const waits: Waits = new Map();
  const sites: SimulatedSite[] = [];
  for (let i = 0; i < count; i++) {
    const site = new SimulatedSite(`site-${i}`, coordinator.url, model, update, waits);
    await site.enrol(await coordinator.invite(site.site));
    sites.push(site);
  }
  for (const site of sites) await site.connect();
  await sites[0]?.uploadGenesis();
  if (coordinator.plan.aggregation.secure === "masked") {
    // Before the first round goes one about what the sites' images are like.
    const before = await Promise.all(sites.map((site) => site.waitFor(isOpen(FINGERPRINT_ROUND))));
    for (const { opening } of before.slice(0, 1)) {
      await maskedRound(sites, opening.body, coordinator.plan, () => undefined);
    }
  }
  const positions = await Promise.all(sites.map((site) => site.waitFor(isOpen(1))));
  waits.clear();
  const [position] = positions;
  if (position === undefined) throw new Error("there are sites");
  return { sites, waits, opening: position.opening.body };
}

export function disperse({ sites }: Crowd): void {
  for (const site of sites) site.disconnect();
}
