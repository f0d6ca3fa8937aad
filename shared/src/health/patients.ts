/**
 * The part of a masked vector that says on how many patients sites trained: exact counts, of which the coordinator learns the
 * sum alone. Without masks it would read each site's number, so such plans have none.
 */
import { ConsiliumError } from "../errors.ts";
import type { Plan } from "../plan-schema.ts";
import type { SiteHealth } from "./extras.ts";
import { looksAtHealth } from "./looks.ts";
import type { RoundPatients } from "./schema.ts";

type Counting = Pick<Plan, "health" | "privacy" | "aggregation">;

const PATIENTS = "patients:trained";
const SITES = "patients:sites";

export const countsPatients = (plan: Counting): boolean =>
  looksAtHealth(plan) && plan.health?.patients === true && plan.aggregation.secure === "masked";

const count = (name: string, most: number) => ({ kind: "count", name, length: 1, most }) as const;

/** Empty where the plan does not count. A site's patients count up to its images' cap, of which they have one each or more. */
export const patientFields = (plan: Counting) =>
  countsPatients(plan) ? [count(PATIENTS, plan.aggregation.examplesCap), count(SITES, 1)] : [];

/** Values for `patientFields`, by name; zeros of a site that does not say. */
export function patientValues(plan: Counting, found: SiteHealth | null): Record<string, number[]> {
  if (!countsPatients(plan)) return {};
  const patients = found?.patients;
  return { [PATIENTS]: [patients ?? 0], [SITES]: [patients === undefined ? 0 : 1] };
}

/**
 * @param sums of the unmasked vector, by name; null where the plan does not count, or no site said
 * @throws secagg.garbled for fewer patients than sites
 */
export function patientsOfSums(sums: Readonly<Record<string, Float64Array>>): RoundPatients | null {
  const [sites = 0, trained = 0] = [sums[SITES]?.[0], sums[PATIENTS]?.[0]];
  if (trained < sites || (sites === 0 && trained > 0)) throw new ConsiliumError("secagg.garbled");
  return sites === 0 ? null : { sites, count: trained };
}
