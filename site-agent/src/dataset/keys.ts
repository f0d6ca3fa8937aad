/**
 * Keys of the image cache: HMAC-SHA256 with a secret that never leaves the site, cut to 128 bits.
 * Whoever reads a cache without the secret cannot test a guess of a patient id.
 */
import { createHmac } from "node:crypto";
import { z } from "zod";

/** Hexadecimal digits of a key. */
export const KEY_DIGITS = 32;
export const keySchema = z.string().regex(/^[0-9a-f]{32}$/);

/** Each purpose has its own domain, so that equal text never gives equal keys. */
function key(secret: Uint8Array, domain: string, ...parts: readonly string[]): string {
  const hmac = createHmac("sha256", secret).update(`consilium/${domain}`);
  // Lengths keep ("ab", "c") and ("a", "bc") apart.
  for (const part of parts) hmac.update(`\0${part.length}\0`).update(part, "utf8");
  return hmac.digest("hex").slice(0, KEY_DIGITS);
}

/** The image with this SOP Instance UID. White space and padding around it do not count. */
export function imageKey(secret: Uint8Array, sopInstanceUid: string): string {
  return key(secret, "image", trimUid(sopInstanceUid));
}

/** The patient with this id, as given out by this issuer (empty where the header names none). */
export function patientKey(secret: Uint8Array, issuer: string, patientId: string): string {
  return key(secret, "patient", issuer.trim(), patientId.trim());
}

/** A patient without an id: each study counts as one person, as a study never holds two. */
export function anonymousPatientKey(secret: Uint8Array, studyInstanceUid: string): string {
  return key(secret, "study", trimUid(studyInstanceUid));
}

/** A file whose header gives no SOP Instance UID, by its path below the folder that was read. */
export function fileKey(secret: Uint8Array, relativePath: string): string {
  return key(secret, "file", relativePath);
}

/** A source of images by what tells it apart, such as a PACS's address. */
export function sourceKey(secret: Uint8Array, ...parts: readonly string[]): string {
  return key(secret, "source", ...parts);
}

/** A study, or a series of it, that is fetched from a PACS. */
export function pullKey(secret: Uint8Array, ...uids: readonly string[]): string {
  return key(secret, "pull", ...uids.map(trimUid));
}

/** An image that no header names, by the SHA-256 of its content. */
export function contentKey(secret: Uint8Array, sha256: string): string {
  return key(secret, "content", sha256);
}

/** A patient whom a data set's file names number, or a single file. */
export function subjectKey(secret: Uint8Array, subject: string): string {
  return key(secret, "subject", subject);
}

/** UIDs are padded with a zero byte (PS3.5, 9.1), by some writers with spaces. */
function trimUid(uid: string): string {
  return uid.replaceAll("\0", "").trim();
}
