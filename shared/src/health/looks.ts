/** When the features of a federation are looked at. */
import type { Plan } from "../plan-schema.ts";

/** Not where patients are protected: such sums of features would tell of them without any noise. */
export const looksAtHealth = ({ health, privacy }: Pick<Plan, "health" | "privacy">): boolean =>
  health !== null && privacy.unit === "none";
