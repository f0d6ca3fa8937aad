/** The sockets, with real clients on 127.0.0.1. Attacks are named as sentences. */
import { connect } from "node:net";
import { sha256 } from "@consilium/shared/canonical";
import { decodeCheckpoint, encodeCheckpoint, encodeUpdate } from "@consilium/shared/codec";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import type { Sha256 } from "@consilium/shared/ids";
import {
  BULK_NAMESPACE,
  CONTROL_NAMESPACE,
  type FederationPosition,
} from "@consilium/shared/protocol/events";
import type { RoundOpening } from "@consilium/shared/protocol/round";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Coordinator } from "../app.ts";
import { Bench, manifest, seeded, smallModel, testPlan } from "../testing/coordinator.ts";
import { FakeSite, isOpen, openSocket } from "../testing/fake-site.ts";

const bench = new Bench();
const next = seeded(5);
let coordinator: Coordinator;
let north: FakeSite;
let south: FakeSite;
/** Of the round that is open; north does not contribute to it in these tests. */
let opening: RoundOpening;

beforeAll(async () => {
  coordinator = await bench.start({ home: await bench.home(), plan: testPlan({ rounds: 100 }) });
  north = await bench.site(coordinator, "north");
  south = await bench.site(coordinator, "south");
  await north.connect();
  await south.connect();
  await north.uploadGenesis();
});
afterAll(() => bench.end());

beforeEach(async () => {
  ({
    opening: { body: opening },
  } = await north.waitFor(
    (position): position is Extract<FederationPosition, { phase: "open" }> => position.phase === "open",
  ));
});

const update = () => north.randomUpdate(next);

describe("connecting", () => {
  it("a socket without a session is refused before anything is decoded", async () => {
    for (const session of ["", toBase64Url(new Uint8Array(32)), "nonsense"]) {
      await expect(openSocket(coordinator.url + CONTROL_NAMESPACE, session)).rejects.toThrow(
        "websocket error",
      );
    }
  });

  it("nobody has business in the root namespace", async () => {
    await expect(openSocket(coordinator.url, north.session)).rejects.toThrow("unknown namespace");
  });

  it("a site with another initial model is refused", async () => {
    const stranger = await bench.site(coordinator, "stranger");
    await expect(stranger.connect(sha256("another model"))).rejects.toMatchObject({
      code: "manifest.mismatch",
    });
    stranger.disconnect();
  });

  it("a hello that is not one is refused without being repeated", async () => {
    const refused = north.ask(north.control, "hello", { protocol: 1, patient: "CANARY" });
    await expect(refused).rejects.toMatchObject({ code: "protocol.invalid-message" });
    await expect(refused).rejects.not.toThrow("CANARY");
  });

  it("a site that connects again displaces its own half-open connection", async () => {
    const twin = new FakeSite("south", coordinator.url, smallModel());
    Object.assign(twin, { identity: south.identity, enrolment: south.enrolment });
    const gone = new Promise((resolve) => south.control?.on("disconnect", resolve));
    await twin.connect();
    await gone;
    const status = coordinator.federations.get("chest").status();
    expect(status.sites.find(({ site }) => site === "south")?.connected).toBe(true);
    twin.disconnect();
    south.disconnect();
    await south.connect();
  });

  it("progress shows in the status, and nonsense changes nothing", async () => {
    north.control?.emit("progress", { nonsense: true });
    north.control?.emit("progress", {
      round: opening.round,
      attempt: opening.attempt,
      phase: "training",
      done: 3,
      total: 9,
      loss: 0.5,
    });
    await north.ask(north.control, "position");
    const { sites } = coordinator.federations.get("chest").status();
    expect(sites.find(({ site }) => site === "north")).toMatchObject({
      phase: "training",
      done: 3,
      total: 9,
      loss: 0.5,
    });
  });
});

describe("an update is refused, and not counted, when", () => {
  const values = () => Float32Array.from({ length: update().length }, () => 0.1);

  it.each<[string, string, () => ReturnType<FakeSite["contribution"]>]>([
    ["it holds NaN", "vector.not-finite", () => north.contribution(opening, values().fill(NaN, 3, 4))],
    [
      "it holds infinity",
      "vector.not-finite",
      () => north.contribution(opening, values().fill(Infinity, 0, 1)),
    ],
    [
      "its frame has another tag",
      "frame.bad-tag",
      () => {
        const frame = encodeUpdate(manifest, values());
        frame[5] = 1;
        return north.contribution(opening, values(), { frame });
      },
    ],
    [
      "it is shorter than the model",
      "frame.wrong-length",
      () => north.contribution(opening, values(), { frame: encodeUpdate(manifest, values()).slice(0, -4) }),
    ],
    [
      "it is longer than the model allows",
      "upload.too-large",
      () => {
        const frame = Buffer.concat([encodeUpdate(manifest, values()), new Uint8Array(4)]);
        return north.contribution(opening, values(), { frame });
      },
    ],
    [
      "it says to be another model's",
      "manifest.mismatch",
      () => north.contribution(opening, values(), { header: { manifestHash: sha256("other") } }),
    ],
    [
      "it is another model's of the same size",
      "manifest.mismatch",
      () => {
        const tensors = manifest.tensors.map((tensor) => ({ ...tensor, name: `${tensor.name}.other` }));
        return north.contribution(opening, values(), { frame: encodeUpdate({ tensors }, values()) });
      },
    ],
    [
      "its content is not what its header says",
      "hash.mismatch",
      () => north.contribution(opening, values(), { header: { sealedSha256: sha256("other") } }),
    ],
    [
      "it follows another plan",
      "plan.mismatch",
      () => north.contribution(opening, values(), { header: { planHash: sha256("other") } }),
    ],
    [
      "it was sealed for another round",
      "envelope.invalid",
      () => {
        const { sealed } = north.contribution(
          { ...opening, round: (opening.round + 1) as typeof opening.round },
          values(),
        );
        const { header } = north.contribution(opening, values(), {
          header: { sealedSha256: sha256(sealed), sealedBytes: sealed.length },
        });
        return { header, sealed };
      },
    ],
    [
      "it is signed by another site's key",
      "crypto.bad-signature",
      () => {
        const { header, sealed } = north.contribution(opening, values());
        const { signature } = south.contribution(opening, values(), { header: header.body }).header;
        return { header: { ...header, signature }, sealed };
      },
    ],
    ["it is another site's", "auth.failed", () => south.contribution(opening, values())],
  ])("%s", async (_why, code, make) => {
    await expect(north.contribute(make())).rejects.toMatchObject({ code });
    const position = await north.ask<{ position: FederationPosition }>(north.control, "position");
    expect(position.position).toMatchObject({ phase: "open", contributed: false });
  });
});

describe("uploads", () => {
  it("chunks may come in any order and more than once", async () => {
    const { header, sealed } = north.contribution(opening, update());
    const begun = await north.begin({ kind: "contribution", header }, 1024);
    if ("outcome" in begun) throw new Error("it is wanted");
    const seqs = Array.from({ length: Math.ceil(sealed.length / 1024) }, (_, seq) => seq);
    await Promise.all([...seqs].reverse().map((seq) => north.sendChunk(begun, sealed, seq)));
    await Promise.all(seqs.map((seq) => north.sendChunk(begun, sealed, seq)));
    const again = await north.begin({ kind: "contribution", header }, 2048);
    expect(again).toEqual({ ...begun, have: toBase64Url(Uint8Array.of((1 << seqs.length) - 1)) });
    expect(await north.commit(begun.upload)).toBe("accepted");
    expect(await north.contribute({ header, sealed })).toBe("duplicate");
    await south.contribute(south.contribution(opening, update()));
    await north.waitFor(isOpen(opening.round + 1));
    expect(await north.contribute({ header, sealed })).toBe("duplicate");
  });

  it("of a round that is over are stale", async () => {
    const over = { ...opening, attempt: (opening.attempt + 7) as typeof opening.attempt };
    expect(await north.contribute(north.contribution(over, update()))).toBe("stale");
  });

  it("a chunk with a wrong hash or length is refused and can be sent again", async () => {
    const { header, sealed } = north.contribution(opening, update());
    const begun = await north.begin({ kind: "contribution", header }, 1024);
    if ("outcome" in begun) throw new Error("it is wanted");
    const { upload } = begun;
    const chunk = sealed.slice(0, 1024);
    const message = { upload, seq: 0, sha256: sha256(chunk) };
    const refused = [
      [{ ...message, sha256: sha256("other") }, chunk],
      [message, chunk.slice(1)],
      [{ ...message, seq: 99 }, chunk],
      [message, "not bytes"],
    ];
    for (const [head, bytes] of refused) {
      await expect(north.ask(north.bulk, "upload.chunk", head, bytes)).rejects.toMatchObject({
        code: "upload.bad-chunk",
      });
    }
    await expect(north.commit(upload)).rejects.toMatchObject({ code: "upload.bad-chunk" });
    await north.sendChunk(begun, sealed, 0);
  });

  it("of another site cannot be touched", async () => {
    const { header, sealed } = north.contribution(opening, update());
    const begun = await north.begin({ kind: "contribution", header }, 1024);
    if ("outcome" in begun) throw new Error("it is wanted");
    await expect(south.sendChunk(begun, sealed, 0)).rejects.toMatchObject({ code: "upload.unknown" });
    await expect(south.commit(begun.upload)).rejects.toMatchObject({ code: "upload.unknown" });
  });

  it("that a site has given up for a newer one are forgotten", async () => {
    const first = await north.begin(
      { kind: "contribution", header: north.contribution(opening, update()).header },
      1024,
    );
    await north.begin({ kind: "contribution", header: north.contribution(opening, update()).header }, 1024);
    if ("outcome" in first) throw new Error("it is wanted");
    await expect(north.commit(first.upload)).rejects.toMatchObject({ code: "upload.unknown" });
  });

  it("of another site are not one's own for knowing their name", async () => {
    const theirs = south.contribution(opening, update());
    expect(await south.contribute(theirs)).toBe("accepted");
    const { sealedSha256, sealedBytes } = theirs.header.body;
    const stolen = north.contribution(opening, update(), { header: { sealedSha256, sealedBytes } });
    await expect(north.contribute({ header: stolen.header, sealed: theirs.sealed })).rejects.toMatchObject({
      code: "envelope.invalid",
    });
    expect(await south.contribute(theirs)).toBe("duplicate");
    const [round] = coordinator.federations.get("chest").status().history.slice(-1);
    expect(round?.contributions.map(({ site }) => site)).not.toContain("north");
  });

  it("a message larger than the limit ends the connection", async () => {
    const socket = await openSocket(coordinator.url + BULK_NAMESPACE, north.session);
    const ended = new Promise((resolve) => socket.on("disconnect", resolve));
    socket.emit("upload.chunk", { upload: "0".repeat(32), seq: 0, sha256: sha256("") }, new Uint8Array(6e6));
    await ended;
  });

  it("a message with several attachments ends the connection", async () => {
    const socket = await openSocket(coordinator.url + BULK_NAMESPACE, north.session);
    const ended = new Promise((resolve) => socket.on("disconnect", resolve));
    socket.emit("upload.chunk", new Uint8Array(1), new Uint8Array(1), new Uint8Array(1));
    await ended;
  });

  it("the initial model is taken once, and from the site that was asked", async () => {
    expect(await north.uploadGenesis()).toBe("duplicate");
    const other = smallModel(2);
    const twin = new FakeSite("south", coordinator.url, other);
    Object.assign(twin, { identity: south.identity, enrolment: south.enrolment, bulk: south.bulk });
    await expect(twin.uploadGenesis()).rejects.toMatchObject({ code: "round.not-open" });
  });
});

describe("an initial model is refused when", () => {
  const offer = async (genesis: Uint8Array, announced: Sha256) => {
    const fresh = await bench.start({ home: await bench.home() });
    const site = await bench.site(fresh, "north", { model: { manifest, genesis } });
    expect(await site.connect(announced)).toEqual({ phase: "waiting", genesisWanted: true });
    return site.uploadGenesis();
  };

  it("it is not the one that was announced", async () => {
    await expect(offer(smallModel(2).genesis, sha256("other"))).rejects.toMatchObject({
      code: "manifest.mismatch",
    });
  });

  it("it holds NaN, or is no checkpoint", async () => {
    const { values } = decodeCheckpoint(smallModel().genesis);
    const broken = encodeCheckpoint({ manifest, values: values.fill(NaN, 2, 3) });
    await expect(offer(broken, sha256(broken))).rejects.toMatchObject({ code: "vector.not-finite" });
    const frame = encodeUpdate(manifest, new Float32Array(values.length));
    await expect(offer(frame, sha256(frame))).rejects.toMatchObject({ code: "frame.bad-tag" });
  });
});

it("one address cannot hold more sockets than allowed", async () => {
  const small = await bench.start({ home: await bench.home(), maxSocketsPerAddress: 2 });
  const site = await bench.site(small, "north");
  await site.connect();
  await expect(openSocket(small.url + BULK_NAMESPACE, site.session)).rejects.toThrow("websocket error");
  const ended = new Promise((resolve) => site.bulk?.on("disconnect", resolve));
  site.bulk?.disconnect();
  await ended;
  await expect.poll(() => openSocket(small.url + BULK_NAMESPACE, site.session)).toBeDefined();
});

it("one site cannot hold more sockets than allowed, and another one still connects", async () => {
  const small = await bench.start({ home: await bench.home(), maxSocketsPerSite: 2 });
  const north = await bench.site(small, "north");
  const south = await bench.site(small, "south");
  await north.connect();
  await expect(north.connect()).rejects.toThrow();
  await south.connect();
});

it("idle connections beyond the limit are turned away, and those below it are served", async () => {
  const small = await bench.start({ home: await bench.home(), maxConnections: 16 });
  const port = Number(new URL(small.url).port);
  const idle = Array.from({ length: 40 }, () => connect(port, "127.0.0.1"));
  const refused = await Promise.all(
    idle.map(
      (socket) =>
        new Promise<boolean>((resolve) => {
          socket.on("error", () => undefined);
          socket.on("close", () => {
            resolve(true);
          });
          setTimeout(() => {
            resolve(false);
          }, 1_500);
        }),
    ),
  );
  expect(refused.filter((isRefused) => !isRefused).length).toBeLessThanOrEqual(16);
  for (const socket of idle) socket.destroy();
  await expect.poll(async () => (await fetch(`${small.url}/healthz`).catch(() => null))?.status).toBe(200);
});
