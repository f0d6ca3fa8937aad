/** Errors of training with differential privacy. */
import { entry, type ErrorEntry } from "./entry.ts";

export const PRIVACY_ERRORS = {
  "privacy.budget-spent": entry(
    409,
    false,
    "This round would spend more privacy than the site allows for these patients.",
    "Run consilium-site privacy to see what was spent. Stop here, or agree on a plan with more noise or fewer rounds; whoever answers for the patients may allow more with consilium-site privacy --max-epsilon.",
  ),
  "privacy.required": entry(
    409,
    false,
    "This site trains with differential privacy only, and the plan has none.",
    'Agree on a plan with "privacy": {"unit": "patient", ...}, or lift the rule with consilium-site privacy --optional.',
  ),
  "privacy.unreachable": entry(
    422,
    false,
    "No amount of noise reaches the plan's epsilon at this site.",
    "Agree on a plan with a larger targetEpsilon, fewer rounds, or a smaller sampleRate.",
  ),
  "privacy.delta-too-large": entry(
    422,
    false,
    "Delta is too large for so many patients: it would allow one of them to be revealed whole.",
    "Choose a delta well below one over the number of patients, in the plan and with consilium-site privacy --delta.",
  ),
  "privacy.not-per-example": entry(
    500,
    false,
    "The gradients of single examples are not known for a parameter.",
    "Build the model from linear, layerNorm and addToken of site-agent/src/engine/nn.ts, each parameter in one place.",
  ),
  "privacy.unsupported": entry(
    422,
    false,
    "Training with differential privacy does not go together with this option.",
    "Leave out --devices, --recompute and --precision mixed; batches are computed in parts as it is.",
  ),
  "privacy.ledger-broken": entry(
    500,
    false,
    "The privacy ledger was altered or damaged.",
    "Restore privacy-ledger.jsonl from a backup; without it nobody knows what was spent, so training does not go on.",
  ),
} as const satisfies Record<string, ErrorEntry>;
