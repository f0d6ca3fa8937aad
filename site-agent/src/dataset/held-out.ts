/** Which of a site's images nobody trains on: those of a share of its patients, the same in every round. */
import type { Plan } from "@consilium/shared/plan";
import type { ImageCache } from "./types.ts";
import { splitByPatient } from "./splits.ts";

/** Of its own, so that these patients are not those that a fine-tuning is tested on. */
const HELD_OUT_SEED = 0x4e1d;

/** Places in the cache. */
export interface HeldOut {
  readonly trained: readonly number[];
  /** Empty where the plan holds none out, or the site has too few patients for it. */
  readonly heldOut: readonly number[];
}

export function holdOut(
  { records }: Pick<ImageCache, "records">,
  { acceptance }: Pick<Plan, "acceptance">,
): HeldOut {
  const all = records.map(({ patient }, index) => ({ patient, index }));
  const everything = { trained: all.map(({ index }) => index), heldOut: [] };
  if (acceptance === null) return everything;
  const { heldOutShare } = acceptance;
  const shares = { trained: 1 - heldOutShare, heldOut: heldOutShare };
  const { trained, heldOut } = splitByPatient(all, shares, HELD_OUT_SEED);
  if (trained.length === 0 || heldOut.length === 0) return everything;
  return { trained: trained.map(({ index }) => index), heldOut: heldOut.map(({ index }) => index) };
}

/** How many patients a round trains on. */
export function trainedPatients(images: Pick<ImageCache, "records">, plan: Pick<Plan, "acceptance">): number {
  const { trained } = holdOut(images, plan);
  return new Set(trained.map((index) => images.records[index]?.patient)).size;
}
