/** What a layout may be. Apart from the arithmetic (layout.ts), so that threads which only compute load no schemas. */
import { z } from "zod";
import { bodyBitsOf, levelsOf, TAIL_BITS } from "./levels.ts";
import { MIN_GROUPS, MIN_GROUP_SITES, MIN_SURVIVORS } from "./threshold.ts";

const name = z.string().min(1).max(200);
const length = z.int().min(1).max(0x7fff_ffff);
const bound = z.number().positive();

const tensorRangeSchema = z.strictObject({
  name,
  length,
  /** Largest magnitude that is told apart; what is beyond is clipped and counted. */
  bound,
});
export type TensorRange = z.infer<typeof tensorRangeSchema>;

const extraSchema = z.discriminatedUnion("kind", [
  /** Metrics and moments. Weighted ones are averaged like the update, the others are summed. */
  z.strictObject({ kind: z.literal("real"), name, length, bound, weighted: z.boolean() }),
  /** Exact integers from 0; what is beyond `most` counts as `most`, and as clipped. */
  z.strictObject({ kind: z.literal("count"), name, length, most: z.int().min(1) }),
]);
export type Extra = z.infer<typeof extraSchema>;

/** Fewer steps than this on either side of zero would be noise. */
const MIN_LEVELS = 16;

export const vectorLayoutSchema = z
  .strictObject({
    /** Of the cohort: headroom for all of them. */
    sites: z.int().min(MIN_SURVIVORS).max(10_000),
    /** `narrow`: 16 bits per element of the update, half the bytes, relative error near 1e-2. */
    link: z.enum(["wide", "narrow"]).default("wide"),
    /** A site's weight is min(examples, cap) / cap; it stays private, its sum does not. */
    examplesCap: z.int().min(1),
    tensors: z.array(tensorRangeSchema).max(10_000).readonly(),
    extras: z.array(extraSchema).max(1_000).default([]).readonly(),
    /** Where sites are protected (privacy/site-noise.ts): norm to which each cuts its update, and noise that it adds. */
    noise: z.strictObject({ clipL2Norm: bound, stdDev: bound }).optional(),
    /** Where each group's sum is opened by itself (groups.ts): fewest sites of one. */
    groupSites: z.int().min(MIN_GROUP_SITES).optional(),
  })
  .refine(
    ({ sites, groupSites = 0 }) => sites >= MIN_GROUPS * groupSites,
    "fewer sites than three groups have",
  )
  .refine(
    (layout) => levelsOf(bodyBitsOf(layout), layout.sites) >= MIN_LEVELS,
    "too many sites for a narrow link",
  )
  .refine(
    ({ sites, examplesCap }) => examplesCap <= levelsOf(TAIL_BITS, sites),
    "examplesCap leaves no headroom",
  )
  .refine(
    ({ sites, extras }) =>
      extras.every((extra) => extra.kind === "real" || extra.most <= levelsOf(TAIL_BITS, sites)),
    "a count leaves no headroom",
  )
  .refine(
    ({ tensors, extras }) =>
      new Set([...tensors, ...extras].map((field) => field.name)).size === tensors.length + extras.length,
    "a name occurs twice",
  );
export type VectorLayout = z.infer<typeof vectorLayoutSchema>;
