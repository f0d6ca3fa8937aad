/** Errors between a site and the systems that hold its hospital's images. */
import { entry, type ErrorEntry } from "./entry.ts";

export const SOURCE_ERRORS = {
  "pacs.unreachable": entry(
    502,
    true,
    "The PACS does not answer.",
    "Check its address and port. The same command goes on where it stopped.",
  ),
  "pacs.refused": entry(
    403,
    false,
    "The PACS refuses this site, or what it asks for.",
    "Have its administrator allow this site's AE title, address and requests (or the token).",
  ),
  "pacs.untrusted": entry(
    495,
    false,
    "The TLS certificates of this site and the PACS do not fit.",
    "Give the PACS's certificate authority with --ca; where it wants one of ours, --cert and --key.",
  ),
  "pacs.failed": entry(
    502,
    true,
    "The PACS could not send what was asked for.",
    "The same command asks again for what is missing; the PACS's log tells why it failed.",
  ),
  "pacs.invalid": entry(
    502,
    false,
    "The PACS answers in a way that this version does not understand.",
    "Check that address and port are those of its DICOM service or DICOMweb root.",
  ),
} as const satisfies Record<string, ErrorEntry>;
