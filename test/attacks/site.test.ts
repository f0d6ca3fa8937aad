/** What a malicious site tries on a real coordinator: its own proxy signs with its key. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import { fromBase64Url, toBase64Url } from "@consilium/shared/crypto/encoding";
import { sign } from "@consilium/shared/crypto/identity";
import type { UploadBegin } from "@consilium/shared/protocol/events";
import type { MaskingAnswer, MaskingMessage } from "@consilium/shared/protocol/masking";
import { BOX_BYTES } from "@consilium/shared/secagg/messages";
import { MASKED_HEADER_BYTES } from "@consilium/shared/secagg/frame";
import { afterEach, describe, expect, it } from "vitest";
import { Bench, manifest, smallModel, testPlan } from "../../coordinator/src/testing/coordinator.ts";
import { isOpen } from "../../coordinator/src/testing/fake-site.ts";
import { vectorLength } from "@consilium/shared/manifest";
import { arithmeticTrainer, random } from "../support/federation.ts";
import { DELTA, Stage, until, type Actor } from "./support/stage.ts";
import type { Tampering } from "./support/tampering-proxy.ts";

/** More than any vector here: then there is one chunk. */
const WHOLE_CHUNK = 256 * 1024;
const FIVE = ["a", "b", "c", "d", "e"] as const;

let stage: Stage | null = null;
afterEach(async () => {
  await stage?.strike();
  stage = null;
});

async function five(): Promise<Stage> {
  stage = await Stage.set(FIVE, { rounds: 1, minSites: 3 });
  return stage;
}

type MessageIn<Step extends MaskingMessage["step"]> = Extract<MaskingMessage, { step: Step }>;
type MaskedBegin = Extract<UploadBegin["object"], { kind: "masked" }>;

/** Rewrites a site's message of one step and leaves the others alone. */
function saying<Step extends MaskingMessage["step"]>(
  step: Step,
  change: (message: MessageIn<Step>) => MaskingMessage | Promise<MaskingMessage>,
): (answer: MaskingAnswer) => Promise<MaskingAnswer> {
  const isOf = (message: MaskingMessage): message is MessageIn<Step> => message.step === step;
  return async (answer) =>
    isOf(answer.message) ? { ...answer, message: await change(answer.message) } : answer;
}

/** Stands for another vector than the site has made, with the site's own signature. */
function standingFor(
  { identity }: Actor,
  change: (body: MaskedBegin["masked"]["body"]) => Partial<MaskedBegin["masked"]["body"]>,
): (begin: UploadBegin) => UploadBegin {
  return (begin) => {
    if (begin.object.kind !== "masked") return begin;
    const { body } = begin.object.masked;
    const masked = sign("secagg-masked", { ...body, ...change(body) }, identity);
    return { ...begin, object: { ...begin.object, masked } };
  };
}

/** Sends the site's frame with other bytes in it, and stands for those. */
function sending({ site, identity }: Actor, alter: (frame: Buffer) => unknown): Tampering {
  let frame = Buffer.alloc(0);
  return {
    async begin(begin) {
      if (begin.object.kind !== "masked") return begin;
      frame = await readFile(path.join(site.home.federationFolder, "masking", "frame.bin"));
      alter(frame);
      const body = { ...begin.object.masked.body, sha256: sha256(frame) };
      return {
        chunkBytes: WHOLE_CHUNK,
        object: { ...begin.object, masked: sign("secagg-masked", body, identity) },
      };
    },
    chunk: (message) => [{ ...message, sha256: sha256(frame) }, frame],
  };
}

/** The mean over these sites of what each adds to every weight. */
const meanOf = (names: readonly string[]): number =>
  names.reduce((sum, name) => sum + DELTA * (1 + FIVE.findIndex((other) => other === name)), 0) /
  names.length;

/** The global model is the sum over exactly these sites. */
async function expectSumOf(on: Stage, names: readonly string[]): Promise<void> {
  const values = await on.globalModel("b");
  expect((values[500] ?? NaN) - 0.5).toBeCloseTo(meanOf(names), 7);
}

describe("a malicious site", () => {
  it("that releases wrong shares is named, and the sum is opened by the others' shares", async () => {
    const on = await five();
    const a = on.actor("a");
    on.tamper("a", {
      answer: saying("unmask", ({ step, release: { body } }) => {
        const shares = body.shares.map(({ of, share }) => {
          const bytes = fromBase64Url(share);
          bytes[7] = (bytes[7] ?? 0) ^ 1;
          return { of, share: toBase64Url(bytes) };
        });
        return { step, release: sign("secagg-release", { ...body, shares }, a.identity) };
      }),
    });
    // Four true releases would end the step, perhaps before the false one was looked at.
    const afterIt = saying("unmask", async (message) => {
      await until(() => a.proxy.refusals.length > 0);
      return message;
    });
    for (const name of FIVE.filter((other) => other !== "a")) on.tamper(name, { answer: afterIt });
    on.play();
    await until(() => a.proxy.refusals.length > 0);
    expect(a.proxy.refusals[0]).toEqual({
      event: "masking.answer",
      code: "secagg.bad-share",
      culprits: ["a"],
    });
    await expectSumOf(on, FIVE);
  });

  it("that sends a second masked vector in one attempt is told that it has sent one, and only the first counts", async () => {
    const on = await five();
    const a = on.actor("a");
    on.play();
    const { message } = await on.answered("a", "mask");
    if (message.step !== "mask") throw new Error("it was the vector's");
    const { round, attempt } = on.openPosition("a").opening.body;
    const another = sign(
      "secagg-masked",
      { ...message.masked.body, sha256: sha256("another vector") },
      a.identity,
    );
    const reply = await a.proxy.call("upload.begin", {
      object: { kind: "masked", round, attempt, masked: another },
      chunkBytes: 1024,
    });
    // Once the step is over it is late; before that it is the second one. Neither counts.
    expect(["duplicate", "stale"].map((outcome) => ({ ok: true, outcome }))).toContainEqual(reply);
    await expectSumOf(on, FIVE);
  });

  it("that announces a vector longer or shorter than the model's is refused before a byte of it is taken", async () => {
    const on = await five();
    for (const [name, bytes] of [
      ["a", 2 ** 31],
      ["b", 100],
    ] as const) {
      on.tamper(name, { begin: standingFor(on.actor(name), () => ({ bytes })) });
    }
    on.play();
    for (const name of ["a", "b"]) {
      expect(await on.failure(name)).toEqual({ code: "frame.wrong-length", culprits: [name] });
    }
  });

  it("that sends more bytes in a chunk than it announced is refused", async () => {
    const on = await five();
    on.tamper("a", { chunk: (message, bytes) => [message, Buffer.concat([bytes, Buffer.alloc(64)])] });
    on.play();
    await until(() => on.actor("a").proxy.refusals.length > 0);
    expect(on.actor("a").proxy.refusals[0]).toEqual({
      event: "upload.chunk",
      code: "upload.bad-chunk",
      culprits: ["a"],
    });
  });

  it("that sends other bytes than it stands for is refused", async () => {
    const on = await five();
    on.tamper("a", { begin: standingFor(on.actor("a"), () => ({ sha256: sha256("another vector") })) });
    on.play();
    await until(() => on.actor("a").proxy.refusals.length > 0);
    expect(on.actor("a").proxy.refusals[0]).toMatchObject({ event: "upload.commit", code: "hash.mismatch" });
  });

  it("whose vector belongs to another attempt is refused", async () => {
    const on = await five();
    const a = on.actor("a");
    on.tamper(
      "a",
      sending(a, (frame) => frame.fill(0, 12, MASKED_HEADER_BYTES)),
    );
    on.play();
    await until(() => a.proxy.refusals.length > 0);
    expect(a.proxy.refusals[0]).toMatchObject({ event: "upload.commit", code: "secagg.other-attempt" });
  });

  it("whose masks do not cancel spoils the attempt, whose sum is discarded and never averaged", async () => {
    const on = await five();
    const a = on.actor("a");
    on.tamper(
      "a",
      sending(a, (frame) => {
        frame.set(random(frame.length - MASKED_HEADER_BYTES), MASKED_HEADER_BYTES);
      }),
    );
    on.play();
    // Nobody is named: only the sum is known, and nobody can tell whose part of it was wrong.
    expect(await on.fact("round.abandoned")).toMatchObject({
      attempt: 1,
      failure: { reason: "secagg.garbled", culprits: [] },
    });
    expect(on.facts.some(({ fact }) => fact === "round.aggregated")).toBe(false);
  });

  it("whose update is not finite stops before anything is rounded, naming the tensor", async () => {
    const on = await five();
    const bad = arithmeticTrainer(DELTA);
    on.play({
      a: {
        ...bad,
        async train(...request) {
          const result = await bad.train(...request);
          result.delta[3] = NaN;
          result.delta[4] = Infinity;
          return result;
        },
      },
    });
    expect(await on.failure("a")).toEqual({ code: "vector.not-finite", culprits: ["weight"] });
    expect(on.actor("a").proxy.said("mask")).toEqual([]);
  });

  it("that speaks in another site's name is refused, whoever has signed", async () => {
    const on = await five();
    const [a, c] = [on.actor("a"), on.actor("c")];
    // Its own signature under another's name; and another's message as it is, signature and all.
    on.tamper("c", {
      answer: saying("advertise", ({ step, keys: { body } }) => ({
        step,
        keys: sign("secagg-keys", { ...body, site: a.name }, c.identity),
      })),
    });
    on.tamper("d", {
      answer: saying("advertise", async (message) => {
        await on.answered("a", "advertise");
        return a.proxy.said("advertise")[0] ?? message;
      }),
    });
    on.play();
    for (const name of ["c", "d"]) {
      expect(await on.failure(name)).toEqual({ code: "auth.failed", culprits: [name] });
    }
  });

  it("whose message carries another site's signature is refused, naming the one that sent it", async () => {
    const on = await five();
    on.tamper("a", {
      answer: saying("share", ({ step, dealing }) => ({
        step,
        dealing: {
          ...dealing,
          dealing: sign("secagg-dealing", dealing.dealing.body, on.actor("b").identity),
        },
      })),
    });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "crypto.bad-signature", culprits: ["a"] });
  });

  it("that seals garbage instead of shares is named by every site that gets it", async () => {
    const on = await five();
    on.tamper("a", {
      answer: saying("share", ({ step, dealing }) => ({
        step,
        dealing: {
          ...dealing,
          boxes: dealing.boxes.map(({ to }) => ({ to, box: toBase64Url(random(BOX_BYTES)) })),
        },
      })),
    });
    on.play();
    for (const name of ["b", "c", "d", "e"]) expect(await on.satOut(name)).toBe("secagg.bad-share: a");
  });

  it("that deals too few boxes, or repeats one, is refused by name", async () => {
    const on = await five();
    on.tamper("a", {
      answer: saying("share", ({ step, dealing }) => ({
        step,
        dealing: { ...dealing, boxes: dealing.boxes.slice(1) },
      })),
    });
    on.play();
    expect(await on.satOut("a")).toBe("secagg.bad-share: a");
  });

  it("whose keys are another's is left out by name", async () => {
    const on = await five();
    const [a, b] = [on.actor("a"), on.actor("b")];
    on.tamper("a", {
      answer: saying("advertise", async (message) => {
        await on.answered("b", "advertise");
        const [theirs] = b.proxy.said("advertise");
        const { sealKey, pairKey } = theirs?.keys.body ?? message.keys.body;
        const { step, keys } = message;
        return { step, keys: sign("secagg-keys", { ...keys.body, sealKey, pairKey }, a.identity) };
      }),
    });
    on.play();
    expect(await on.satOut("a")).toBe("secagg.bad-key: a");
  });

  it("that signs another list of survivors than it was shown is refused by name, and the sum goes on", async () => {
    const on = await five();
    const a = on.actor("a");
    on.tamper("a", {
      answer: saying("consistency", ({ step, vote: { body } }) => ({
        step,
        vote: sign("secagg-survivors", { ...body, survivors: sha256("another list") }, a.identity),
      })),
    });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "secagg.equivocation", culprits: ["a"] });
  });
});

describe("a malicious site under a plan without masks", () => {
  const bench = new Bench();
  afterEach(() => bench.end());

  it("whose update holds a NaN or an infinity is refused by name, and nothing of it is averaged", async () => {
    const coordinator = await bench.start({
      home: await bench.home(),
      plan: testPlan({ rounds: 1, minSites: 1 }),
    });
    const site = await bench.site(coordinator, "a", { model: smallModel() });
    await site.connect();
    await site.uploadGenesis();
    const { opening } = await site.waitFor(isOpen(1));
    for (const value of [NaN, Infinity, -Infinity]) {
      const update = new Float32Array(vectorLength(manifest)).fill(1e-3);
      update[77] = value;
      await expect(site.contribute(site.contribution(opening.body, update))).rejects.toMatchObject({
        code: "vector.not-finite",
      });
    }
    const status = coordinator.federations.all()[0]?.status();
    expect(status?.history[0]).toMatchObject({ contributions: [] });
  });
});
