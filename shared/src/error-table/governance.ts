/** Errors of who decides what: a site's policy, the plan's approval, the roster, the audit log. */
import { entry, type ErrorEntry } from "./entry.ts";

export const GOVERNANCE_ERRORS = {
  "policy.plain-refused": entry(
    403,
    false,
    "The plan lets the coordinator read this site's updates, and this site's policy does not allow it.",
    'Prefer a plan with aggregation.secure "masked". To allow it at this site: `consilium-site policy --accept-plain`, then join again with the same token.',
  ),
  "policy.cohort-too-small": entry(
    403,
    false,
    "A round would have fewer sites than this site's policy asks for.",
    "Agree on a plan with a larger minSites. To allow it at this site: `consilium-site policy --min-cohort N`.",
  ),
  "policy.task-refused": entry(
    403,
    false,
    "The plan's pretext task is not among those that this site's policy allows.",
    "See `consilium-site plan`. To allow it at this site: `consilium-site policy --tasks NAMES`, or `--tasks any`.",
  ),
  "policy.model-too-large": entry(
    403,
    false,
    "The plan's model has more parameters than this site's policy allows.",
    "Agree on a smaller model. To allow it at this site: `consilium-site policy --max-parameters N`, or `--max-parameters any`.",
  ),
  "policy.hours-invalid": entry(
    400,
    false,
    "The hours of work or their time zone are not valid.",
    'Write them like `consilium-site policy --hours "mon-fri 18:00-07:00, sat-sun 00:00-24:00" --time-zone Europe/Berlin`.',
  ),
  "policy.held": entry(
    409,
    true,
    "This site's policy lets it begin nothing now.",
    "Nothing to do: it goes on by itself when its hours begin or today's bytes allow it. See `consilium-site policy`.",
  ),
  "plan.refused": entry(
    403,
    false,
    "Someone at this site has refused the plan.",
    "Talk to the coordinator's operator. To change the decision: `consilium-site plan approve HASH`.",
  ),
  "plan.other-hash": entry(
    409,
    false,
    "The plan that this site has joined has another hash.",
    "Read it with `consilium-site plan`, which prints the hash to approve.",
  ),
  "roster.not-endorsed": entry(
    403,
    false,
    "A site was added to the roster without the signatures of most of the sites that are on it.",
    "See `consilium-site roster`. Telephone the others: a coordinator alone cannot add a site, and should not try.",
  ),
  "roster.rolled-back": entry(
    409,
    false,
    "The coordinator shows an older or another roster than this site has pinned.",
    "Compare `consilium-site roster` with the other sites by telephone, and ask the coordinator's operator.",
  ),
  "roster.pending": entry(
    409,
    true,
    "This site is not on the roster yet: most of the other sites have to approve it.",
    "Ask them to compare your fingerprint (consilium-site roster) and to type: consilium-site roster approve SITE. It goes on by itself.",
  ),
  "roster.no-candidate": entry(
    404,
    false,
    "No site of that name waits for approval.",
    "See `consilium-site roster` for those who wait.",
  ),
  "audit.rewritten": entry(
    409,
    false,
    "The coordinator's audit log does not continue the one that this site has countersigned.",
    "Stop, keep this home folder, and ask the coordinator's operator for audit.jsonl: `consilium-site audit verify FILE` names the first line that differs.",
  ),
  "audit.bad-countersignature": entry(
    400,
    false,
    "A signature under the audit log does not match the log or the signer's key.",
    "Keep a copy for the investigation, and compare fingerprints by telephone.",
  ),
  "audit.witness-broken": entry(
    500,
    false,
    "This site's record of the audit heads that it countersigned was altered or cut.",
    "Restore audit-heads.jsonl from a backup, and find out who can write to the home folder.",
  ),
} as const satisfies Record<string, ErrorEntry>;
