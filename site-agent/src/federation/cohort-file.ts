/**
 * What a site keeps of the comparison of images where the plan masks:
 *
 *     cohort.json    the fingerprint that it gave into the sum, and how far it is from the others
 *
 * It never leaves the site. Without the first, the others' part of the sum could not be told from its own.
 */
import path from "node:path";
import { FINGERPRINT_LENGTH, byGroup } from "@consilium/shared/fingerprint/layout";
import { attemptSchema, type Attempt } from "@consilium/shared/ids";
import { jsonOrNull } from "@consilium/shared/json";
import { z } from "zod";
import { readTextIfPresent, writeFileAtomic } from "../home/files.ts";

const distance = z.number().min(0).max(1).nullable();

const keptSchema = z.strictObject({
  schemaVersion: z.literal(1),
  given: z
    .strictObject({
      attempt: attemptSchema,
      vector: z.array(z.int().min(0)).length(FINGERPRINT_LENGTH).readonly(),
    })
    .nullable(),
  seen: z.strictObject({ sites: z.int(), distances: z.strictObject(byGroup(() => distance)) }).nullable(),
});
type Kept = z.infer<typeof keptSchema>;

export interface CohortFile {
  /** The fingerprint of this attempt, as it went into the sum; null if it is not known any more. */
  given(attempt: Attempt): Promise<Uint32Array | null>;
  /** On disk when it returns. */
  give(attempt: Attempt, vector: Uint32Array): Promise<void>;
  /** How far this site was from how many sites, when it last looked. */
  seen(): Promise<Kept["seen"]>;
  see(seen: NonNullable<Kept["seen"]>): Promise<void>;
}

/** @param folder federation/ of the home */
export function cohortFile(folder: string): CohortFile {
  const file = path.join(folder, "cohort.json");
  const read = async (): Promise<Kept> => {
    const text = await readTextIfPresent(file);
    // A damaged file counts as none: the fingerprint can be made again from the images.
    const kept = text === null ? undefined : keptSchema.safeParse(jsonOrNull(text)).data;
    return kept ?? { schemaVersion: 1, given: null, seen: null };
  };
  const write = async (change: Partial<Kept>): Promise<void> =>
    writeFileAtomic(file, `${JSON.stringify({ ...(await read()), ...change })}\n`);
  return {
    async given(attempt) {
      const { given } = await read();
      return given?.attempt === attempt ? Uint32Array.from(given.vector) : null;
    },
    give: (attempt, vector) => write({ given: { attempt, vector: Array.from(vector) } }),
    seen: async () => (await read()).seen,
    see: (seen) => write({ seen }),
  };
}
