/**
 * Everything that can go wrong and what the operator does next, in one table.
 * Expected outcomes (a stale round, a duplicate upload) are results, not errors.
 */
import type { ErrorEntry } from "./error-table/entry.ts";
import { FEDERATION_ERRORS } from "./error-table/federation.ts";
import { GOVERNANCE_ERRORS } from "./error-table/governance.ts";
import { IMAGE_ERRORS } from "./error-table/images.ts";
import { LEARNING_ERRORS } from "./error-table/learning.ts";
import { PRIVACY_ERRORS } from "./error-table/privacy.ts";
import { RUNNING_ERRORS } from "./error-table/running.ts";
import { SECAGG_ERRORS } from "./error-table/secagg.ts";
import { SOURCE_ERRORS } from "./error-table/sources.ts";

export const ERRORS = {
  ...RUNNING_ERRORS,
  ...FEDERATION_ERRORS,
  ...GOVERNANCE_ERRORS,
  ...SECAGG_ERRORS,
  ...IMAGE_ERRORS,
  ...SOURCE_ERRORS,
  ...LEARNING_ERRORS,
  ...PRIVACY_ERRORS,
} as const satisfies Record<string, ErrorEntry>;
