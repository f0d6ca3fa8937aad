/** Errors between sites and coordinator: what they agree on, say, sign and send. */
import { entry, type ErrorEntry } from "./entry.ts";

export const FEDERATION_ERRORS = {
  // Plan and governance
  "plan.invalid": entry(400, false, "The federation plan is not valid.", "Correct the field named above."),
  "plan.needs-each-update": entry(
    400,
    false,
    "The plan's strategy needs every update by itself, and secure aggregation shows their sum alone.",
    'Choose fedavg, fedavgm, fedadam or fedyogi, or with 12 sites or more group-median; or let the coordinator read every update with aggregation.secure "plain" (plan --plain).',
  ),
  "start.missing": entry(
    404,
    false,
    "The model that the plan starts from is not here.",
    "Coordinator: give the file that the plan was written from once more, consilium-coordinator serve --start-from FILE. Site: consilium-site run fetches it.",
  ),
  "start.unfit": entry(
    422,
    false,
    "The model that the plan starts from does not fit the plan's model.",
    "Write a plan whose model (size, patches, channels) has the shape of the weight named above, or start from another file.",
  ),
  "federation.not-paused": entry(
    409,
    false,
    "The federation is not paused.",
    "See consilium-coordinator status for what it waits for.",
  ),
  "plan.mismatch": entry(
    409,
    false,
    "The site holds another plan than the coordinator.",
    "Join again with consilium-site join.",
  ),
  "enrolment.token-unknown": entry(
    401,
    false,
    "The enrolment token is wrong.",
    "Ask the coordinator's operator for a new token (consilium-coordinator invite).",
  ),
  "enrolment.token-used": entry(
    409,
    false,
    "The enrolment token was used before.",
    "Ask the coordinator's operator for a new token (consilium-coordinator invite).",
  ),
  "enrolment.token-expired": entry(
    410,
    false,
    "The enrolment token has expired.",
    "Ask the coordinator's operator for a new token (consilium-coordinator invite).",
  ),
  "enrolment.site-taken": entry(
    409,
    false,
    "Another key is enrolled under this site's name.",
    "Choose another name, or have the operator remove the old site.",
  ),

  // Protocol
  "auth.required": entry(
    401,
    true,
    "The call carries no valid session.",
    "It is renewed by itself; if it repeats, join again.",
  ),
  "auth.failed": entry(
    401,
    false,
    "The site could not prove its key.",
    "Join again with consilium-site join.",
  ),
  "protocol.version": entry(
    426,
    false,
    "Site and coordinator speak different protocol versions.",
    "Install the same version on both sides.",
  ),
  "protocol.invalid-message": entry(
    400,
    false,
    "A message does not have the agreed shape.",
    "Check that both sides run the same version.",
  ),
  "federation.unknown": entry(
    404,
    false,
    "There is no such federation here.",
    "Check the name and the coordinator's address.",
  ),
  "site.unknown": entry(
    404,
    false,
    "There is no such site on the roster.",
    "Enrol it first (consilium-site join).",
  ),
  "round.not-open": entry(
    409,
    true,
    "The round is not open for contributions.",
    "Nothing to do: the site takes part in the next round.",
  ),
  "upload.unknown": entry(
    404,
    true,
    "The coordinator does not know this upload.",
    "It is begun again by itself.",
  ),
  "upload.too-large": entry(
    413,
    false,
    "The upload is larger than the model allows.",
    "Check that the site runs the plan of this federation.",
  ),
  "upload.bad-chunk": entry(
    400,
    true,
    "A chunk has the wrong length or hash.",
    "It is sent again by itself.",
  ),
  "blob.unknown": entry(404, false, "There is no object of that name.", "Check the hash."),
  "coordinator.unreachable": entry(
    503,
    true,
    "The coordinator does not answer.",
    "Check its address, the network and the proxy; consilium-site run goes on trying by itself.",
  ),
  "coordinator.untrusted": entry(
    495,
    true,
    "The TLS certificates of this site and the coordinator do not fit.",
    "Give the authority that signed the coordinator's certificate with --ca; where its front wants a certificate of this site, --cert and --key.",
  ),
  "proxy.refused": entry(
    502,
    true,
    "The proxy on the way to the coordinator refuses the connection.",
    "HTTP 407: set HTTPS_PROXY with its user and password, http://user:password@proxy.example:3128. Others: have its administrator allow the coordinator's host and port, or name the host in NO_PROXY.",
  ),

  // Cryptography
  "crypto.bad-signature": entry(
    401,
    false,
    "A signature does not match the pinned key.",
    "Compare fingerprints by telephone before going on.",
  ),
  "crypto.weak-key": entry(
    400,
    false,
    "A public key is of low order.",
    "Make a new identity with consilium-site init --force.",
  ),
  "envelope.invalid": entry(
    400,
    false,
    "An encrypted object was altered, cut, reordered or sealed for someone else.",
    "Send it again; if it repeats, check the pinned coordinator key.",
  ),
  "hash.mismatch": entry(
    400,
    true,
    "An object's content is not what its name says.",
    "It is fetched again by itself; if it repeats, check the disk.",
  ),

  // Bytes and vectors
  "frame.bad-tag": entry(
    400,
    false,
    "A binary frame does not start with a known tag.",
    "Check that both sides run the same version.",
  ),
  "frame.wrong-length": entry(
    400,
    false,
    "A binary frame is shorter or longer than it says.",
    "Send it again; if it repeats, check the network path.",
  ),
  "vector.not-finite": entry(
    400,
    false,
    "A weight is NaN or infinite.",
    "Lower the learning rate, or look at the site's images.",
  ),
  "manifest.mismatch": entry(
    409,
    false,
    "The weights belong to another model.",
    "Check that the site runs the plan of this federation (consilium-site join).",
  ),
} as const satisfies Record<string, ErrorEntry>;
