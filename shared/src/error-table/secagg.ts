/** Errors of secure aggregation. Each of them ends the attempt; none lets a wrong sum pass. */
import { entry, type ErrorEntry } from "./entry.ts";

export const SECAGG_ERRORS = {
  "secagg.too-few-sites": entry(
    409,
    true,
    "Too few sites are left to hide each behind the others.",
    "Nothing to do: a new attempt begins by itself. If it repeats, see which sites drop out.",
  ),
  "secagg.other-attempt": entry(
    409,
    true,
    "A message of secure aggregation belongs to another attempt, plan or roster.",
    "Nothing to do if it happens once; if it repeats, check that all sites have the same plan and roster.",
  ),
  "secagg.bad-key": entry(
    400,
    true,
    "A site's keys for this attempt are repeated, weak or its own no longer.",
    "The site named above should restart its agent; if it repeats, compare fingerprints by telephone.",
  ),
  "secagg.bad-share": entry(
    400,
    true,
    "A share of a key is malformed or not the one that was dealt.",
    "If it repeats, leave out the site named above and look at its installation.",
  ),
  "secagg.bad-dealing": entry(
    400,
    true,
    "The shares that a site dealt do not give its key.",
    "If it repeats, leave out the site named above and look at its installation.",
  ),
  "secagg.equivocation": entry(
    409,
    false,
    "Sites were shown different lists for the same attempt.",
    "Stop the site and ask the coordinator's operator; this does not happen by accident.",
  ),
  "secagg.downgrade": entry(
    409,
    false,
    "The coordinator asks for an update without masks, and the plan says that it masks.",
    "Stop the site and ask the coordinator's operator; this does not happen by accident.",
  ),
  "secagg.spent": entry(
    409,
    true,
    "The secrets of this attempt were used already.",
    "Nothing to do: a new attempt begins by itself with fresh keys.",
  ),
  "secagg.roster-changed": entry(
    409,
    false,
    "The coordinator shows another key for a site than this site has known so far.",
    "Ask the site named above by telephone for its fingerprint (consilium-site roster). A renewed key is a removal by the coordinator's operator and a new enrolment, which the other sites approve.",
  ),
  "secagg.garbled": entry(
    500,
    true,
    "The unmasked sum is not one that these sites can have produced.",
    "Nothing to do: it is discarded and a new attempt begins. If it repeats, check that all sites run the same version.",
  ),
} as const satisfies Record<string, ErrorEntry>;
