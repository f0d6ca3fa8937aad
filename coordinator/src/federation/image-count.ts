import type { RoundPatients } from "@consilium/shared/health/schema";
import type { Plan } from "@consilium/shared/plan";

/**
 * What a model's record says of the images behind it: two digits, so that of three sites two which put theirs together do not
 * know the third one's number. Nothing where the plan protects patients or sites.
 * @param examples of all sites together; under masks each site's counts up to `aggregation.examplesCap`
 */
export function imageCount({ privacy }: Pick<Plan, "privacy">, examples: number): { images?: number } {
  if (privacy.unit !== "none") return {};
  return { images: twoDigits(examples) };
}

/** The same of patients; nothing unless all of the model's sites have said theirs. */
export function patientCount(sites: number, patients: RoundPatients | undefined): { patients?: number } {
  return patients?.sites === sites ? { patients: twoDigits(patients.count) } : {};
}

const twoDigits = (count: number): number => Number(count.toPrecision(2));
