/** What a dishonest coordinator or site can try, and what comes of it. */
import { describe, expect, it } from "vitest";
import { sha256 } from "../canonical.ts";
import { fromBase64Url, toBase64Url } from "../crypto/encoding.ts";
import { sign } from "../crypto/identity.ts";
import { siteIdSchema, type SiteId } from "../ids.ts";
import { collect } from "./coordinator/collect.ts";
import { route } from "./coordinator/route.ts";
import { foldMasked, openSum } from "./coordinator/sum.ts";
import { collectVotes, listSurvivors } from "./coordinator/survivors.ts";
import { unmask as rebuild } from "./coordinator/unmask.ts";
import type { PrivateValues } from "./encode.ts";
import { assertMaskedHeader, maskedFrameBytes, maskedHeader } from "./frame.ts";
import { geometryOf } from "./layout.ts";
import { vectorLayoutSchema } from "./layout-schema.ts";
import { addMasks } from "./masks.ts";
import {
  deliverySchema,
  parseMessage,
  signedReleaseSchema,
  type DealingMessage,
  type SignedRelease,
} from "./messages.ts";
import { required } from "./required.ts";
import { advertise } from "./site/advertise.ts";
import { consistency } from "./site/consistency.ts";
import { contribute } from "./site/contribute.ts";
import { mask } from "./site/mask.ts";
import { share } from "./site/share.ts";
import { unmask } from "./site/unmask.ts";
import { survivorsHash } from "./transcript.ts";
import { consortium, fixedRandom, member, wholeVector, writeVector } from "./testing/consortium.ts";
import { advertiseAll, contributeAll, maskAll, releaseAll, shareAll, voteAll } from "./testing/run.ts";

const layout = vectorLayoutSchema.parse({
  sites: 5,
  examplesCap: 100,
  tensors: [{ name: "weight", length: 6, bound: 1 }],
});
const five = consortium(layout);
const again = consortium(layout, { attempt: 2 });
const values = (site: SiteId): PrivateValues => ({
  update: new Float32Array(6).fill(0.25),
  examples: 50,
  extras: {},
  roundingKey: fixedRandom(`rounding ${site}`)(32),
});
const [a, b, c, d, e] = ["site-000", "site-001", "site-002", "site-003", "site-004"].map((name) =>
  siteIdSchema.parse(name),
) as [SiteId, SiteId, SiteId, SiteId, SiteId];
const { context } = five.attempt;

const refusal = (code: string, ...culprits: string[]) =>
  expect.objectContaining(culprits.length === 0 ? { code } : { code, culprits }) as Error;
/** Made once, and given to each test as if it were the first. */
function once<T>(make: () => T): () => T {
  let made: T | null = null;
  return () => structuredClone((made ??= make()));
}
const advertised = once(() => advertiseAll(five));
const shared = once(() => shareAll(five));
const masked = once(() => maskAll(five));
const contributed = once(() => contributeAll(five, values));
const released = once(() => releaseAll(five, values));

const stateOf = <T>(states: ReadonlyMap<SiteId, T>, site: SiteId): T => required(states.get(site));

describe("a coordinator", () => {
  it("that shows different survivor lists to different sites gets no shares", () => {
    const { sites } = contributed();
    const all = { context, survivors: [a, b, c, d, e] };
    const withoutE = { context, survivors: [a, b, c, d] };
    const first = [a, b].map((site) => consistency(stateOf(sites.states, site), member(site), all));
    const second = [c, d].map((site) => consistency(stateOf(sites.states, site), member(site), withoutE));
    const victim = required(first[0]).keep;
    const matching = first.map(({ broadcast }) => broadcast);
    const mixed = [...first, ...second].map(({ broadcast }) => broadcast);
    expect(() => unmask(victim, member(a), { context, votes: mixed })).toThrow(
      refusal("secagg.equivocation", c),
    );
    expect(() => unmask(victim, member(a), { context, votes: matching })).toThrow(
      refusal("secagg.too-few-sites"),
    );
    expect(() => unmask(victim, member(a), { context, votes: [...matching, ...matching] })).toThrow(
      refusal("secagg.too-few-sites"),
    );
  });

  it("that shows different participants to different sites gets no shares", () => {
    const { sites, coordinator } = shared();
    const full = coordinator.broadcast;
    const delivered = new Map(
      [...full].map(([site, delivery]) => {
        if (site !== a) return [site, delivery];
        const dealings = delivery.dealings.filter(({ dealing }) => dealing.body.site !== e);
        return [site, { ...delivery, participants: [a, b, c, d], dealings }];
      }),
    );
    const votes = [a, b, c, d].map((site) => {
      const { keep } = mask(stateOf(sites.states, site), member(site), required(delivered.get(site)));
      const written = writeVector(keep, member(site), layout, values(site));
      return consistency(written.keep, member(site), { context, survivors: [a, b, c, d] });
    });
    const agreement = { context, votes: votes.map(({ broadcast }) => broadcast) };
    for (const [i, site] of [a, b].entries()) {
      expect(() => unmask(required(votes[i]).keep, member(site), agreement)).toThrow(
        refusal("secagg.equivocation"),
      );
    }
  });

  it("that asks a site for both shares of another gets one", () => {
    const { sites } = contributed();
    const start = stateOf(sites.states, a);
    const list = { context, survivors: [a, b, c, d, e] };
    const { keep: voted } = consistency(start, member(a), list);
    expect(() => consistency(start, member(a), { context, survivors: [a, b, c, d] })).toThrow(
      refusal("secagg.spent"),
    );
    const votes = [b, c, d, e].map(
      (site) => consistency(stateOf(sites.states, site), member(site), list).broadcast,
    );
    const { broadcast } = unmask(voted, member(a), { context, votes });
    expect(broadcast.body.shares.map(({ of }) => of).sort()).toEqual([a, b, c, d, e]);
    expect(() => unmask(voted, member(a), { context, votes })).toThrow(refusal("secagg.spent"));
  });

  it("that declares a site lost after its vector has come cannot read it", () => {
    const { sites, coordinator } = contributed();
    const masking = stateOf(masked().states, e);
    const selfMask = structuredClone(masking.masks.slice(0, 1));
    const { vector: late } = writeVector(masking, member(e), layout, values(e));
    const survivors = [a, b, c, d];
    const list = { context, survivors };
    const voted = survivors.map((site) => consistency(stateOf(sites.states, site), member(site), list));
    const votes = voted.map(({ broadcast }) => broadcast);
    const releases = voted.map(({ keep }, i) => unmask(keep, memberAt(i), { context, votes }).broadcast);
    const agreed = {
      ...coordinator.keep,
      phase: "agreed" as const,
      survivors,
      survivorsHash: survivorsHash(five.attempt, survivors),
    };
    const { removals } = rebuild(agreed, releases).keep;
    // All that it learns of e are its pairwise masks: they come off, its self mask stays.
    const [geometry, plain] = [geometryOf(layout), Buffer.from(wholeVector(layout, values(e), []))];
    const block = { offset: 0, bytes: late };
    addMasks(geometry, block, removals.slice(survivors.length), -1);
    expect(Buffer.from(late)).not.toEqual(plain);
    addMasks(geometry, block, selfMask, -1);
    expect(Buffer.from(late)).toEqual(plain);
  });

  it("that leaves only two survivors, or names one that never dealt or one twice, gets no signature", () => {
    const { sites } = contributed();
    const start = stateOf(sites.states, a);
    const vote = (survivors: SiteId[]) => () => consistency(start, member(a), { context, survivors });
    const stranger = siteIdSchema.parse("stranger");
    expect(vote([a, b])).toThrow(refusal("secagg.too-few-sites", c, d, e));
    expect(vote([a, b, c, d, stranger])).toThrow(refusal("secagg.equivocation"));
    expect(vote([a, b, c, d, d])).toThrow(refusal("secagg.equivocation"));
    expect(vote([b, c, d, e])).toThrow(refusal("round.not-open", a));
    expect(vote([a, b, c, d])).not.toThrow();
  });

  it("that replays messages of another attempt is refused by sites", () => {
    const old = shareAll(again);
    const { sites, coordinator } = advertised();
    const start = stateOf(sites.states, a);
    const random = fixedRandom("x");
    expect(() => share(start, member(a), old.list, random)).toThrow(refusal("secagg.other-attempt"));
    const keys = coordinator.broadcast.keys.map((signed) =>
      signed.body.site === b ? required(old.list.keys.find(({ body }) => body.site === b)) : signed,
    );
    expect(() => share(start, member(a), { context, keys }, random)).toThrow(
      refusal("secagg.other-attempt", b),
    );
    const now = shared();
    const replayed = { ...required(old.coordinator.broadcast.get(a)), context };
    expect(() => mask(stateOf(now.sites.states, a), member(a), replayed)).toThrow(
      refusal("secagg.other-attempt", b),
    );
  });

  it("that swaps a public key is caught by the pinned roster", () => {
    const { sites, coordinator } = advertised();
    const mallory = member("mallory");
    const { broadcast: theirs } = advertise(five.attempt, { ...mallory, site: b }, fixedRandom("mallory"));
    const swap = (change: (keys: (typeof theirs)["body"]) => (typeof theirs)["body"]) =>
      coordinator.broadcast.keys.map((s) => (s.body.site === b ? { ...s, body: change(s.body) } : s));
    const attempt = (keys: (typeof theirs)[]) => () =>
      share(stateOf(sites.states, a), member(a), { context, keys }, fixedRandom("x"));
    expect(attempt(swap((body) => ({ ...body, pairKey: theirs.body.pairKey })))).toThrow(
      refusal("crypto.bad-signature", b),
    );
    const signedByMallory = coordinator.broadcast.keys.map((s) => (s.body.site === b ? theirs : s));
    expect(attempt(signedByMallory)).toThrow(refusal("crypto.bad-signature", b));
    // The site's own key of a start before this one is signed well, and still not the one it holds the secret of.
    const { broadcast: older } = advertise(five.attempt, member(a), fixedRandom("before a restart"));
    expect(attempt(coordinator.broadcast.keys.map((s) => (s.body.site === a ? older : s)))).toThrow(
      refusal("secagg.bad-key", a),
    );
    const { broadcast: stranger } = advertise(five.attempt, mallory, fixedRandom("mallory"));
    expect(attempt([...coordinator.broadcast.keys, stranger])).toThrow(refusal("site.unknown", "mallory"));
  });

  it("that alters a sealed share or holds one back stops the attempt at that site", () => {
    const { sites, coordinator } = shared();
    const delivery = required(coordinator.broadcast.get(a));
    const open = (dealings: typeof delivery.dealings) => () =>
      mask(stateOf(sites.states, a), member(a), { ...delivery, dealings });
    const [first, ...rest] = delivery.dealings;
    const bytes = fromBase64Url(required(first).box);
    bytes[60] = (bytes[60] ?? 0) ^ 1;
    expect(open([{ ...required(first), box: toBase64Url(bytes) }, ...rest])).toThrow(
      refusal("secagg.bad-share", b),
    );
    expect(open([{ ...required(first), box: required(rest[0]).box }, ...rest])).toThrow(
      refusal("secagg.bad-share", b),
    );
    // A path that leads elsewhere: the coordinator would hold another digest against the share.
    expect(open([{ ...required(first), path: required(rest[0]).path }, ...rest])).toThrow(
      refusal("secagg.bad-share", b),
    );
    expect(open(rest)).toThrow(refusal("secagg.equivocation"));
    expect(() =>
      parseMessage(deliverySchema, { ...delivery, dealings: [{ ...first, box: "AAAA" }] }),
    ).toThrow(refusal("protocol.invalid-message"));
  });
});

describe("a site", () => {
  it("that lies about its share is named, and the others' shares suffice", () => {
    const { sites, coordinator, accumulator } = released();
    const { keep, refused } = rebuild(coordinator.keep, [
      lie(required(sites.messages[0]), a),
      ...sites.messages.slice(1),
    ]);
    expect(refused).toEqual([{ site: a, error: refusal("secagg.bad-share", a) }]);
    const { mean } = openSum(layout, keep, accumulator);
    for (const value of mean) expect(value).toBeCloseTo(0.25, 6);
  });

  it("that lies where no share can be spared is named in the error that ends the attempt", () => {
    const { sites, coordinator } = releaseAll(five, values, { unmask: [e] });
    expect(() =>
      rebuild(coordinator.keep, [lie(required(sites.messages[0]), a), ...sites.messages.slice(1)]),
    ).toThrow(refusal("secagg.too-few-sites", a, e));
  });

  it("that releases the wrong set of shares, or malformed ones, is named", () => {
    const { sites, coordinator } = released();
    const [first, ...rest] = sites.messages;
    const { body } = required(first);
    const fewer = sign("secagg-release", { ...body, shares: body.shares.slice(1) }, member(a).identity);
    expect(rebuild(coordinator.keep, [fewer, ...rest]).refused).toEqual([
      { site: a, error: refusal("secagg.bad-share", a) },
    ]);
    const short = { ...body, shares: [{ of: b, share: "AAAA" }] };
    expect(() => parseMessage(signedReleaseSchema, { body: short, signature: "A".repeat(86) })).toThrow(
      refusal("protocol.invalid-message"),
    );
  });

  it("that deals shares of another secret than it committed to is named", () => {
    const dealt = shared();
    const before = advertised();
    const messages = dealt.sites.messages.map((message): DealingMessage => {
      if (message.dealing.body.site !== b) return message;
      const body = { ...message.dealing.body, commitment: sha256("another seed") };
      return { ...message, dealing: sign("secagg-dealing", body, member(b).identity) };
    });
    const routed = route(before.coordinator.keep, messages);
    const written = [...dealt.sites.states].map(([site, state]) => {
      const { keep } = mask(state, member(site), required(routed.broadcast.get(site)));
      return writeVector(keep, member(site), layout, values(site));
    });
    const frameBytes = maskedFrameBytes(layout);
    const listed = listSurvivors(
      routed.keep,
      written.map((one) => one.broadcast),
      frameBytes,
    );
    const voted = written.map(({ keep }, i) => consistency(keep, memberAt(i), listed.broadcast));
    const agreed = collectVotes(
      listed.keep,
      voted.map((one) => one.broadcast),
    );
    const releases = voted.map(({ keep }, i) => unmask(keep, memberAt(i), agreed.broadcast).broadcast);
    expect(() => rebuild(agreed.keep, releases)).toThrow(refusal("secagg.bad-dealing", b));
  });

  it("that gives the coordinator other digests than it signed, or too few, is left out by name", () => {
    const { sites, coordinator } = { ...shared(), coordinator: advertised().coordinator };
    const [first, second, ...rest] = sites.messages;
    for (const digests of [required(second).digests, required(first).digests.slice(4)]) {
      const { refused } = route(coordinator.keep, [
        { ...required(first), digests },
        required(second),
        ...rest,
      ]);
      expect(refused).toEqual([{ site: a, error: refusal("secagg.bad-share", a) }]);
    }
  });

  it("that seals another share than it signed is named by the site that gets it", () => {
    const { sites } = advertised();
    const list = { context, keys: sites.messages };
    const start = stateOf(sites.states, b);
    const other = share(structuredClone(start), member(b), list, fixedRandom("other")).broadcast;
    const signed = share(start, member(b), list, fixedRandom("signed")).broadcast;
    const receiver = share(stateOf(sites.states, a), member(a), list, fixedRandom("a")).keep;
    const rest = [a, c, d, e].map(
      (site) =>
        share(stateOf(advertised().sites.states, site), member(site), list, fixedRandom(site)).broadcast,
    );
    const messages = [...rest, { ...signed, boxes: other.boxes }];
    const delivery = required(route(advertised().coordinator.keep, messages).broadcast.get(a));
    expect(() => mask(receiver, member(a), delivery)).toThrow(refusal("secagg.bad-share", b));
  });

  it("that masks wrongly makes the sum be discarded, never averaged", () => {
    const { sites, coordinator, accumulator } = released();
    const { keep } = rebuild(coordinator.keep, sites.messages);
    const wrong = { offset: 0, bytes: fixedRandom("wrong")(geometryOf(layout).totalBytes) };
    foldMasked(layout, accumulator, wrong);
    expect(() => openSum(layout, keep, accumulator)).toThrow(refusal("secagg.garbled"));
  });

  it("that sends keys of low order, another's keys or keys twice is left out by name", () => {
    const { sites } = advertised();
    const [first, second, ...rest] = sites.messages;
    const resign = (body: Partial<(typeof rest)[number]["body"]>) =>
      sign("secagg-keys", { ...required(second).body, ...body }, member(b).identity);
    const others = [required(first), ...rest];
    for (const bad of [
      resign({ pairKey: "A".repeat(43) }),
      resign({ sealKey: required(first).body.sealKey }),
      resign({ sealKey: required(second).body.pairKey }),
    ]) {
      const { refused, broadcast } = collect(five.attempt, [...others, bad]);
      expect(refused).toEqual([{ site: b, error: refusal("secagg.bad-key", b) }]);
      expect(broadcast.keys.map(({ body }) => body.site)).toEqual([a, c, d, e]);
      // A coordinator that lets it pass gains nothing: sites look for themselves.
      const list = { context, keys: [...others, bad] };
      expect(() =>
        share(structuredClone(stateOf(sites.states, a)), member(a), list, fixedRandom("x")),
      ).toThrow(refusal("secagg.bad-key"));
    }
    const { refused } = collect(five.attempt, [...sites.messages, required(first)]);
    expect(refused).toEqual([{ site: a, error: refusal("protocol.invalid-message", a) }]);
  });

  it("that replays its messages of another attempt is left out by name", () => {
    const old = voteAll(again, values);
    const { coordinator } = contributed();
    const { keep } = coordinator;
    const { refused } = collectVotes(keep, [
      ...voteAll(five, values).sites.messages,
      ...old.sites.messages.slice(0, 1),
    ]);
    expect(refused).toEqual([{ site: a, error: refusal("protocol.invalid-message", a) }]);
    expect(() => collectVotes(keep, old.sites.messages)).toThrow(
      refusal("secagg.too-few-sites", a, b, c, d, e),
    );
    const vector = maskedHeader(again.attempt, layout);
    expect(() => {
      assertMaskedHeader(five.attempt, layout, vector);
    }).toThrow(refusal("secagg.other-attempt"));
  });

  it("cannot stand for two vectors under the same masks", () => {
    const state = stateOf(masked().states, a);
    const frame = { sha256: sha256("frame"), bytes: maskedFrameBytes(layout) };
    contribute(state, member(a), frame);
    expect(() => contribute(state, member(a), frame)).toThrow(refusal("secagg.spent"));
    expect(() => wholeVector(layout, values(a), state.masks)).toThrow(refusal("secagg.spent"));
  });
});

const memberAt = (i: number) => member(required([a, b, c, d, e][i]));

/** One bit of one share is wrong; the signature is right. */
function lie({ body }: SignedRelease, site: SiteId): SignedRelease {
  const [first, ...rest] = body.shares;
  const bytes = fromBase64Url(required(first).share);
  bytes[3] = (bytes[3] ?? 0) ^ 4;
  const shares = [{ ...required(first), share: toBase64Url(bytes) }, ...rest];
  return sign("secagg-release", { ...body, shares }, member(site).identity);
}
