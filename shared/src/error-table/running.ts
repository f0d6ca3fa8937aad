/** Errors of a machine that runs the software, and of a site's home folder on it. */
import { entry, type ErrorEntry } from "./entry.ts";

export const RUNNING_ERRORS = {
  // Running the software
  "node.too-old": entry(500, false, "This Node.js is too old.", "Install Node.js 20.19 or newer."),
  "config.invalid": entry(
    400,
    false,
    "A setting is missing or wrong.",
    "Correct the setting named above and start again.",
  ),
  "port.in-use": entry(
    500,
    false,
    "Another program listens on that port.",
    "Stop it, or choose another with --port.",
  ),
  "tls.unusable": entry(
    400,
    false,
    "The coordinator's TLS certificate or key cannot be used.",
    "Give PEM files that this user can read: --tls-cert the server's certificate and then its chain, --tls-key its key without a password, --tls-client-ca the authority of the sites' certificates.",
  ),
  "disk.full": entry(
    507,
    true,
    "The disk is full.",
    "Free some space; what was acknowledged is safe and the work goes on from there.",
  ),
  "disk.denied": entry(
    500,
    false,
    "A file or folder may not be read or written.",
    "Check who owns the home folder, the images and the place to write to.",
  ),
  "home.in-use": entry(
    409,
    true,
    "Another coordinator runs on this home folder.",
    "Stop it, or choose another folder with --home.",
  ),
  "store.unreachable": entry(
    503,
    true,
    "The database or the object store does not answer.",
    "Check that it runs and that --database and --blobs are right; the work goes on when it answers.",
  ),
  "lease.lost": entry(
    503,
    true,
    "Another coordinator runs this federation now.",
    "Nothing: sites find it by themselves. If it happens often, look for a coordinator that is starved of CPU or network.",
  ),
  "audit.broken": entry(
    500,
    false,
    "The audit log was altered or cut.",
    "Keep a copy for the investigation; find out who can write to the home folder.",
  ),
  internal: entry(
    500,
    false,
    "An unexpected error.",
    "Run again with LOG_LEVEL=debug and report the code and the log.",
  ),

  // A site's home folder
  "home.missing": entry(
    404,
    false,
    "This folder is not the home of a site.",
    "Run consilium-site init --site NAME, or point --home at the right folder.",
  ),
  "home.exists": entry(
    409,
    false,
    "The home folder holds a site's identity already.",
    "Use it as it is, or replace the identity with consilium-site init --force.",
  ),
  "home.busy": entry(
    409,
    true,
    "Another consilium-site works in this home folder.",
    "Wait until it ends, or stop it; listen and ingest --watch end only when they are stopped.",
  ),
  "home.not-joined": entry(
    409,
    false,
    "This site has not joined a federation.",
    "Run consilium-site join --coordinator URL --token-file FILE.",
  ),
  "genesis.mismatch": entry(
    409,
    false,
    "This site derives another initial model from the plan than the federation has.",
    "Install the same version of consilium-site at every site.",
  ),
  "model.missing": entry(
    404,
    false,
    "This site does not hold that encoder yet.",
    "Run consilium-site run for the global one, or consilium-site pretrain for the site's own.",
  ),
  "model.not-saved": entry(
    404,
    false,
    "This site has saved no network of that name.",
    "Name one that is there, or make it with consilium-site finetune --save NAME.",
  ),
  "receipts.broken": entry(
    500,
    false,
    "The record of what left this site was altered or cut.",
    "Keep a copy for the investigation; find out who can write to the home folder.",
  ),
} as const satisfies Record<string, ErrorEntry>;
