/**
 * Golden vectors of secure aggregation. Another implementation can check itself against test/vectors/secagg.json: with
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
import { playSecagg, secaggInputsSchema } from "../support/secagg-transcript.ts";

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
  .parse(JSON.parse(readFileSync(new URL("../vectors/secagg.json", import.meta.url), "utf8")));

it.each(["wide", "narrow"] as const)("plays an attempt on a %s link to the letter", (link) => {
  const { inputs, outputs } = vectors[link];
  expect(playSecagg(inputs)).toEqual(outputs);
});
