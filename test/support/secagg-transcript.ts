/**
 * One attempt of secure aggregation from given secrets: everything that travels and everything that is derived, as
 * plain JSON. The golden vectors are its result; `inputs` is all that it starts from.
 */
import { identityFromSecrets } from "@consilium/shared/crypto/identity";
import { siteIdSchema, type SiteId } from "@consilium/shared/ids";
import { roundOpeningSchema } from "@consilium/shared/protocol/round";
import { openAttempt, rosterHash, type Self } from "@consilium/shared/secagg/attempt";
import { collect } from "@consilium/shared/secagg/coordinator/collect";
import { route } from "@consilium/shared/secagg/coordinator/route";
import { foldMasked, openSum } from "@consilium/shared/secagg/coordinator/sum";
import { collectVotes, listSurvivors } from "@consilium/shared/secagg/coordinator/survivors";
import { unmask as rebuild } from "@consilium/shared/secagg/coordinator/unmask";
import { maskedBlocks } from "@consilium/shared/secagg/encode";
import { maskedFrameBytes, maskedHeader } from "@consilium/shared/secagg/frame";
import { geometryOf, layoutHash } from "@consilium/shared/secagg/layout";
import { vectorLayoutSchema } from "@consilium/shared/secagg/layout-schema";
import type { MaskTerm } from "@consilium/shared/secagg/masks";
import { required } from "@consilium/shared/secagg/required";
import { advertise } from "@consilium/shared/secagg/site/advertise";
import { consistency } from "@consilium/shared/secagg/site/consistency";
import { contribute } from "@consilium/shared/secagg/site/contribute";
import { mask } from "@consilium/shared/secagg/site/mask";
import { share } from "@consilium/shared/secagg/site/share";
import { unmask } from "@consilium/shared/secagg/site/unmask";
import { sha256 } from "@consilium/shared/canonical";
import { z } from "zod";
import { derivationsOf, signedText, type AttemptSecrets } from "./secagg-derivations.ts";

const hexSchema = z.string().regex(/^([0-9a-f]{2})*$/);

export const secaggInputsSchema = z.strictObject({
  opening: roundOpeningSchema,
  layout: vectorLayoutSchema,
  sites: z.array(
    z.strictObject({
      site: siteIdSchema,
      signingSeed: hexSchema,
      sealingSecret: hexSchema,
      /** Draws in the order of the round functions: seal secret, pair secret. */
      advertise: z.array(hexSchema),
      /**
       * Self seed; coefficients of the self seed's polynomial, highest power first, then of the pair secret's; one
       * nonce for each box.
       */
      share: z.array(hexSchema),
      update: z.array(z.number()),
      examples: z.int(),
      extras: z.record(z.string(), z.array(z.number())),
      roundingKey: hexSchema,
    }),
  ),
  /** Deals its shares and is not heard of again. */
  lost: siteIdSchema,
});
export type SecaggInputs = z.infer<typeof secaggInputsSchema>;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
const termsOf = (terms: readonly MaskTerm[]) => terms.map(({ key, sign }) => ({ key: hex(key), sign }));

function draws(texts: readonly string[]) {
  const left = texts.values();
  return (length: number): Uint8Array => {
    const drawn = unhex(left.next().value ?? "");
    if (drawn.length !== length) throw new Error(`${length} random bytes wanted, ${drawn.length} given`);
    return drawn;
  };
}

export function playSecagg({ opening, layout, sites, lost }: SecaggInputs) {
  const selves = sites.map((input): Self & { input: typeof input } => ({
    site: input.site,
    identity: identityFromSecrets(unhex(input.signingSeed), unhex(input.sealingSecret)),
    input,
  }));
  const roster = selves.map(({ site, identity }) => ({ site, identity: identity.public }));
  const attempt = openAttempt(opening, roster, layout);

  const advertised = selves.map((self) => advertise(attempt, self, draws(self.input.advertise)));
  const collected = collect(
    attempt,
    advertised.map(({ broadcast }) => broadcast),
  );
  const shared = selves.map((self, i) =>
    share(required(advertised[i]).keep, self, collected.broadcast, draws(self.input.share)),
  );
  const routed = route(
    collected.keep,
    shared.map(({ broadcast }) => broadcast),
  );
  const masking = selves.map(
    (self, i) => mask(required(shared[i]).keep, self, required(routed.broadcast.get(self.site))).keep,
  );
  const masks = Object.fromEntries(
    masking.map((state, i) => [required(selves[i]).site, termsOf(state.masks)]),
  );

  const staying = selves
    .map((self, i) => ({ self, state: required(masking[i]) }))
    .filter(({ self }) => self.site !== lost);
  const accumulator = new Uint8Array(geometryOf(layout).totalBytes);
  const vectors: Record<SiteId, { readonly plain: string; readonly frame: string }> = {};
  const contributed = staying.map(({ self, state }) => {
    const values = {
      update: Float32Array.from(self.input.update),
      examples: self.input.examples,
      extras: self.input.extras,
      roundingKey: unhex(self.input.roundingKey),
    };
    const whole = (terms: readonly MaskTerm[]) =>
      Buffer.concat([...maskedBlocks(layout, values, terms, 16)].map(({ bytes }) => bytes));
    const masked = whole(state.masks);
    foldMasked(layout, accumulator, { offset: 0, bytes: masked });
    const frame = Buffer.concat([maskedHeader(attempt, layout), masked]);
    vectors[self.site] = { plain: hex(whole([])), frame: hex(frame) };
    return contribute(state, self, { sha256: sha256(frame), bytes: frame.length });
  });
  const listed = listSurvivors(
    routed.keep,
    contributed.map(({ broadcast }) => broadcast),
    maskedFrameBytes(layout),
  );
  const voted = staying.map(({ self }, i) =>
    consistency(required(contributed[i]).keep, self, listed.broadcast),
  );
  const agreed = collectVotes(
    listed.keep,
    voted.map(({ broadcast }) => broadcast),
  );
  const released = staying.map(({ self }, i) => unmask(required(voted[i]).keep, self, agreed.broadcast));
  const rebuilt = rebuild(
    agreed.keep,
    released.map(({ broadcast }) => broadcast),
  );
  const removals = termsOf(rebuilt.keep.removals);
  const maskedSum = hex(accumulator);
  const { mean, extras, examples, clipped } = openSum(layout, rebuilt.keep, accumulator);

  const derived = derivationsOf({
    attempt,
    layout,
    mesh: collected.keep.mesh,
    keys: collected.keep.keys,
    participants: routed.keep.participants,
    survivors: listed.keep.survivors,
    secrets: selves.map(({ site, input }): AttemptSecrets => {
      const [seal = "", pair = ""] = input.advertise;
      const [selfSeed = "", ...drawn] = input.share;
      const coefficients = drawn
        .slice(0, 2 * (required(collected.keep.mesh.groups[0]).threshold - 1))
        .map(unhex);
      return { site, seal: unhex(seal), pair: unhex(pair), selfSeed: unhex(selfSeed), coefficients };
    }),
  });
  const first = <Message>(messages: readonly { readonly broadcast: Message }[]): Message =>
    required(messages[0]).broadcast;

  return {
    roster,
    rosterHash: rosterHash(roster),
    layoutHash: layoutHash(layout),
    terms: attempt.terms,
    context: attempt.context,
    keyList: collected.broadcast,
    dealings: shared.map(({ broadcast }) => broadcast),
    deliveries: Object.fromEntries(routed.broadcast),
    masks,
    vectors,
    masked: contributed.map(({ broadcast }) => broadcast),
    survivorList: listed.broadcast,
    agreement: agreed.broadcast,
    releases: released.map(({ broadcast }) => broadcast),
    removals,
    derived,
    /** What the first site's signature of each kind is over. */
    signed: {
      "secagg-keys": signedText("secagg-keys", first(advertised).body),
      "secagg-dealing": signedText("secagg-dealing", first(shared).dealing.body),
      "secagg-masked": signedText("secagg-masked", first(contributed).body),
      "secagg-survivors": signedText("secagg-survivors", first(voted).body),
      "secagg-release": signedText("secagg-release", first(released).body),
    },
    maskedSum,
    sum: hex(accumulator),
    aggregate: {
      mean: [...mean],
      examples,
      clipped,
      extras: Object.fromEntries(Object.entries(extras).map(([name, values]) => [name, [...values]])),
    },
  };
}
