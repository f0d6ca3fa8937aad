/**
 * The site's own account of the privacy that training has spent: one line for each round, in a hash chain. A line is on
 * disk before the first of the steps that it pays for, so that a crash counts too much and never too little.
 */
import type { NoisySteps } from "@consilium/shared/privacy/accountant";
import { federationIdSchema } from "@consilium/shared/ids";
import { z } from "zod";
import { chainedFile } from "../home/chain.ts";

const paymentSchema = z.strictObject({
  at: z.iso.datetime(),
  federation: federationIdSchema,
  /** The image cache whose patients it is about. */
  cohort: z.string().min(1).max(64),
  round: z.int().min(1),
  attempt: z.int().min(1),
  patients: z.int().min(1),
  /** What the accountant needs; epsilon follows from all lines of a cohort together. */
  sampleRate: z.number().min(0).max(1),
  noiseMultiplier: z.number().min(0),
  steps: z.int().min(1),
  clipL2Norm: z.number().positive(),
  /** Where the whole site was protected, and each patient with it. */
  unit: z.literal("site").optional(),
});
export type Payment = z.infer<typeof paymentSchema>;

export interface PrivacyLedger {
  pay(payment: Payment): Promise<void>;
  /** @throws privacy.ledger-broken, naming the line */
  payments(): Promise<readonly Payment[]>;
}

export function privacyLedger(file: string): PrivacyLedger {
  const chained = chainedFile<Payment>(file, {
    start: "consilium/1 privacy",
    parse: (value) => paymentSchema.safeParse(value).data,
    broken: "privacy.ledger-broken",
  });
  return { pay: (payment) => chained.add(payment), payments: () => chained.entries() };
}

/** What federations have spent that protect this site as a whole. */
export const spentBySite = (federation: string, payments: readonly Payment[]): readonly NoisySteps[] =>
  alike(payments.filter((payment) => payment.unit === "site" && payment.federation === federation));

/** What a cohort has spent; rounds with the same settings as one. */
export function spentOn(cohort: string, payments: readonly Payment[]): readonly NoisySteps[] {
  return alike(payments.filter((payment) => payment.cohort === cohort));
}

function alike(payments: readonly Payment[]): readonly NoisySteps[] {
  const found = new Map<string, NoisySteps>();
  for (const payment of payments) {
    const { sampleRate, noiseMultiplier, steps } = payment;
    const key = `${sampleRate} ${noiseMultiplier}`;
    found.set(key, { sampleRate, noiseMultiplier, steps: steps + (found.get(key)?.steps ?? 0) });
  }
  return [...found.values()];
}
