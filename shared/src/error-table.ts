/**
 * Everything that can go wrong and what the operator does next, in one table.
 * Expected outcomes (a stale round, a duplicate upload) are results, not errors.
 */

interface ErrorEntry {
  /** What happened, in one sentence without data of the case. */
  readonly meaning: string;
  /** What the person at the terminal does next. */
  readonly next: string;
  /** Whether the same call may succeed later without anyone doing anything. */
  readonly retry: boolean;
  /** HTTP status when the error crosses a route. */
  readonly status: number;
}

const entry = (status: number, retry: boolean, meaning: string, next: string): ErrorEntry => ({
  status,
  retry,
  meaning,
  next,
});

export const ERRORS = {
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
    "Wait until it ends, or stop it.",
  ),
  "home.not-joined": entry(
    409,
    false,
    "This site has not joined a federation.",
    "Run consilium-site join --coordinator URL --token TOKEN.",
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
  "receipts.broken": entry(
    500,
    false,
    "The record of what left this site was altered or cut.",
    "Keep a copy for the investigation; find out who can write to the home folder.",
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

  // Plan and governance
  "plan.invalid": entry(400, false, "The federation plan is not valid.", "Correct the field named above."),
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
    "Check the address and the network; the site keeps trying.",
  ),

  // Images
  "ingest.folder-missing": entry(
    404,
    false,
    "The folder does not exist or cannot be read.",
    "Check the path and its permissions.",
  ),
  "ingest.no-dicom": entry(
    422,
    false,
    "No usable image was found.",
    "Check that the folder holds DICOM; consilium-site ingest lists why files were set aside.",
  ),
  "dicom.not-dicom": entry(422, false, "The file is not DICOM.", "Nothing to do unless it should have been."),
  "dicom.unreadable": entry(
    422,
    false,
    "The file cannot be read from the disk.",
    "Check its permissions, then ingest again.",
  ),
  "dicom.truncated": entry(422, false, "The file ends before its pixel data does.", "Export it again."),
  "dicom.no-pixels": entry(
    422,
    false,
    "The file holds no image.",
    "Nothing to do: reports and presentation states are expected here.",
  ),
  "dicom.unsupported": entry(
    422,
    false,
    "The image is written in a way that this version does not read.",
    "Convert it, or report the transfer syntax.",
  ),
  "dicom.multi-frame": entry(
    422,
    false,
    "The file holds several frames; this version reads single images.",
    "Export the frames one by one, or wait for a version that reads them.",
  ),
  "dicom.decode-failed": entry(422, false, "The pixel data cannot be decoded.", "Export it again."),
  "dicom.wrong-size": entry(
    422,
    false,
    "The decoded image has another size than its header says.",
    "Export it again.",
  ),
  "dicom.burned-in": entry(
    422,
    false,
    "The image may carry text burned into its pixels.",
    "Review it; such files are set aside by default.",
  ),
  "dicom.flat": entry(
    422,
    false,
    "The image has no contrast at all.",
    "Nothing to do: it carries no information.",
  ),
  "dicom.duplicate": entry(422, false, "The same image was read before.", "Nothing to do."),
  "cache.corrupt": entry(500, false, "The image cache is damaged.", "Run consilium-site ingest again."),
  "cache.wrong-size": entry(
    409,
    false,
    "The cached images have another size than the plan asks for.",
    "Run consilium-site ingest again.",
  ),
  "labels.invalid": entry(
    422,
    false,
    "The label file cannot be read.",
    "Check its columns: sop_instance_uid, label.",
  ),
  "labels.unmatched": entry(
    422,
    false,
    "No label belongs to an image of the cache.",
    "Check that labels and images come from the same export.",
  ),
  "labels.too-few": entry(
    422,
    false,
    "There are too few labels to train and test on.",
    "Label at least two patients of each class.",
  ),

  // Engine
  "engine.unsupported-op": entry(
    500,
    false,
    "The compiled engine has no kernel for this TensorFlow.js operation.",
    "Write it with supported operations, or add the kernel to site-agent/src/engine/tracer.",
  ),
  "engine.data-dependent": entry(
    500,
    false,
    "A traced value was read while tracing.",
    "Keep the computation in tensors (tf.where instead of if), or read it from an output of the step.",
  ),
  "engine.dynamic-shape": entry(
    500,
    false,
    "A shape is not known while tracing.",
    "Give every dimension as a number.",
  ),
  "engine.compile-failed": entry(
    500,
    false,
    "ONNX Runtime refused the compiled graph.",
    "Run consilium-site doctor; report the operator named above.",
  ),
  "engine.run-failed": entry(
    500,
    false,
    "A compiled step failed.",
    "Run consilium-site doctor; try a smaller batch if memory is short.",
  ),
  "training.diverged": entry(
    500,
    false,
    "The loss is no longer a number.",
    "Lower the learning rate in the plan, or look at the site's images.",
  ),
  "training.no-images": entry(
    422,
    false,
    "There are not enough cached images to fill one batch.",
    "Run consilium-site ingest, or lower the batch size in the plan.",
  ),

  // Models that come and go
  "weights.unreadable": entry(
    422,
    false,
    "The weights file cannot be read.",
    "Check that it is safetensors with float32, float16 or bfloat16 values, and copy it again.",
  ),
} as const satisfies Record<string, ErrorEntry>;
