/** How much privacy a site lets training spend: `privacy.json` in its home. The plan has no say in it. */
import { ConsiliumError } from "@consilium/shared/errors";
import { jsonOrNull } from "@consilium/shared/json";
import { z } from "zod";
import { readTextIfPresent, writeFileAtomic } from "../home/files.ts";

export const privacyPolicySchema = z.strictObject({
  schemaVersion: z.literal(1),
  /** Of each cohort, over everything that was ever trained on it. */
  maxEpsilon: z.number().positive().max(1000),
  /** At which the ledger is read; below one over the number of patients. */
  delta: z.number().positive().max(0.01),
  /** Whether plans without differential privacy are refused. */
  required: z.boolean(),
});
export type PrivacyPolicy = z.infer<typeof privacyPolicySchema>;

export const DEFAULT_POLICY: PrivacyPolicy = {
  schemaVersion: 1,
  maxEpsilon: 8,
  delta: 1e-6,
  required: false,
};

/** @returns the site's own, or the default. @throws config.invalid; nothing of the content enters the message */
export async function readPrivacyPolicy(file: string): Promise<PrivacyPolicy> {
  const text = await readTextIfPresent(file);
  if (text === null) return DEFAULT_POLICY;
  const parsed = privacyPolicySchema.safeParse(jsonOrNull(text));
  if (parsed.success) return parsed.data;
  throw new ConsiliumError("config.invalid", { detail: "(privacy.json)", culprits: ["privacy.json"] });
}

export async function writePrivacyPolicy(file: string, policy: PrivacyPolicy): Promise<void> {
  await writeFileAtomic(file, `${JSON.stringify(policy, null, 2)}\n`);
}
