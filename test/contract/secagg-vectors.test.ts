/**
 * Golden vectors of secure aggregation. Another implementation can check itself against test/vectors/secagg: with
 * the same secrets it makes the same messages, masks and sum. A change here is a change of the protocol.
 */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import {
  agreementSchema,
  dealingMessageSchema,
  deliverySchema,
  keyListSchema,
  signedMaskedSchema,
  signedReleaseSchema,
  survivorListSchema,
} from "@consilium/shared/secagg/messages";
import { z } from "zod";
import { playGroups, playRing } from "../support/secagg-ring.ts";
import { playSecagg, secaggInputsSchema } from "../support/secagg-transcript.ts";

function readVector(name: string): string {
  return readFileSync(new URL(`../vectors/secagg/${name}`, import.meta.url), "utf8");
}

const transcriptSchema = z.strictObject({
  inputs: secaggInputsSchema,
  outputs: z
    .object({
      context: z.string(),
      keyList: keyListSchema,
      dealings: z.array(dealingMessageSchema),
      deliveries: z.record(z.string(), deliverySchema),
      masked: z.array(signedMaskedSchema),
      survivorList: survivorListSchema,
      agreement: agreementSchema,
      releases: z.array(signedReleaseSchema),
    })
    .catchall(z.json()),
});
const vectors = z
  .strictObject({ wide: transcriptSchema, narrow: transcriptSchema })
  .parse(JSON.parse(readVector("attempts.json")));

it.each(["wide", "narrow"] as const)("plays an attempt on a %s link to the letter", (link) => {
  const { inputs, outputs } = vectors[link];
  expect(playSecagg(inputs)).toEqual(outputs);
});

it("puts a large cohort on the same ring", () => {
  expect(playRing()).toEqual(JSON.parse(readVector("ring.json")));
});

it("draws the same groups", () => {
  expect(playGroups()).toEqual(JSON.parse(readVector("groups.json")));
});
