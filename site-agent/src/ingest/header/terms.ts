/**
 * Closed lists of DICOM terms. A header's text is never kept: it is looked up here, and what is not found becomes OT or
 * nothing, so that free text in a coded element cannot enter the cache.
 */
import { VENDORS, type Vendor } from "@consilium/shared/fingerprint/layout";

const MODALITIES = terms("CR CT DX ES IO IVUS MG MR NM OCT OP OPT OT PT PX RF RG SC SM US XA XC");

/** View Position (PS3.3 C.8.7.3, C.8.11.5). */
const VIEWS = terms("AP PA LL RL RLD LLD RLO LLO LAO RAO CC MLO ML LM LMO XCCL XCCM");

/** Body Part Examined (PS3.16 annex L), the common ones. */
const BODY_PARTS = terms(
  "ABDOMEN ANKLE ARM BRAIN BREAST CHEST CSPINE ELBOW FOOT HAND HEAD HEART HIP KNEE LEG LSPINE NECK PELVIS SHOULDER SKULL SPINE TSPINE WRIST",
);

const SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7";

function terms(list: string): ReadonlySet<string> {
  return new Set(list.split(" "));
}

function lookUp(list: ReadonlySet<string>, text: string | undefined): string | null {
  const term = text?.trim().toUpperCase() ?? "";
  return list.has(term) ? term : null;
}

/** The modality, or OT (other) for what is none. */
export const modalityTerm = (text: string | undefined): string => lookUp(MODALITIES, text) ?? "OT";

export const viewTerm = (text: string | undefined): string | null => lookUp(VIEWS, text);

/** Names under which some of them also sign, or did. */
const OTHER_NAMES: Readonly<Partial<Record<Vendor, readonly string[]>>> = {
  canon: ["toshiba"],
  carestream: ["kodak"],
  fujifilm: ["fuji"],
  hologic: ["lorad"],
  samsung: ["medison"],
};

/** Which maker a Manufacturer (0008,0070) names, as a class of a closed list; null where it names none. */
export function vendorClass(text: string | undefined): Vendor | null {
  const words = (text ?? "").toLowerCase().split(/[^a-z]+/);
  if (words.every((word) => word === "")) return null;
  const isNamed = (name: string): boolean => words.includes(name);
  return VENDORS.find((vendor) => [vendor, ...(OTHER_NAMES[vendor] ?? [])].some(isNamed)) ?? "other";
}

export const bodyPartTerm = (text: string | undefined): string | null => lookUp(BODY_PARTS, text);

/** Secondary Capture Image Storage and its multi-frame siblings: screenshots and scanned paper. */
export function isSecondaryCapture(sopClass: string): boolean {
  return sopClass === SECONDARY_CAPTURE || sopClass.startsWith(`${SECONDARY_CAPTURE}.`);
}

/** Segmentation and Label Map Segmentation Storage (PS3.4 table B.5-1): their pixels are labels, not an image. */
export const SEGMENTATIONS: ReadonlySet<string> = new Set([
  "1.2.840.10008.5.1.4.1.1.66.4",
  "1.2.840.10008.5.1.4.1.1.66.7",
]);

export const isSegmentation = (sopClass: string): boolean => SEGMENTATIONS.has(sopClass);
