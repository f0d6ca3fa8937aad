/** What a layout of weights may be. Apart from its arithmetic, so that threads which only compute load no schemas. */
import { z } from "zod";

export const tensorSpecSchema = z.strictObject({
  /** timm's name where timm has one, for example `blocks.0.attn.qkv.weight`. */
  name: z.string().min(1).max(200),
  /** Row-major; scalars are `[]`. */
  shape: z.array(z.int().min(1)).max(8).readonly(),
  dtype: z.literal("float32"),
});
export type TensorSpec = z.infer<typeof tensorSpecSchema>;

export const manifestSchema = z
  .strictObject({ tensors: z.array(tensorSpecSchema).min(1).max(10_000).readonly() })
  .refine(
    ({ tensors }) => new Set(tensors.map((t) => t.name)).size === tensors.length,
    "a name occurs twice",
  );
export type Manifest = z.infer<typeof manifestSchema>;
