/** An existing model that a federation starts from, as its plan names it. See docs/models.md for what is made of it. */
import { z } from "zod";
import { sha256Schema } from "./ids.ts";

/** What Node reads in one piece, and more than the largest encoder that a plan can ask for. */
const MOST_BYTES = 2 ** 31 - 1;

/** Unless somebody says more. */
export const UNKNOWN_ORIGIN = "not stated";

export const startSchema = z.strictObject({
  /** Of the file, byte for byte: what a site fetches is held against it. */
  sha256: sha256Schema,
  bytes: z.int().min(1).max(MOST_BYTES),
  /** `checkpoint`: the federation's own frame (codec.ts); `safetensors`: an encoder under timm's or Hugging Face's names. */
  format: z.enum(["checkpoint", "safetensors"]),
  /** Where it comes from, in the words of whoever wrote the plan, for those who are to approve it. */
  origin: z.string().min(1).max(200).default(UNKNOWN_ORIGIN),
});
export type StartPlan = Readonly<z.infer<typeof startSchema>>;
