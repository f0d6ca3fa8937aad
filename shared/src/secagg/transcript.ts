/** Hashes by which sites make sure that they were all shown the same. */
import { canonicalJson, sha256 } from "../canonical.ts";
import type { Sha256, SiteId } from "../ids.ts";
import type { Attempt } from "./attempt.ts";
import type { Mesh } from "./mesh.ts";

/** Of the advertised keys and of the sites that dealt. */
export function transcriptHash(attempt: Attempt, mesh: Mesh, participants: readonly SiteId[]): Sha256 {
  return sha256(canonicalJson({ context: attempt.context, keys: mesh.digest, participants }));
}

/** @param survivors in the order of their names */
export function survivorsHash(attempt: Attempt, survivors: readonly SiteId[]): Sha256 {
  return sha256(canonicalJson({ context: attempt.context, survivors }));
}
