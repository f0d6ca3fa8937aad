/** Fingerprints of the sites' images at a real coordinator: what it takes, keeps, tells and refuses. */
import { sha256 } from "@consilium/shared/canonical";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import { seal } from "@consilium/shared/crypto/envelope";
import { sign } from "@consilium/shared/crypto/identity";
import {
  emptyCounts,
  encodeFingerprint,
  fingerprintFrom,
  sumOfFingerprints,
} from "@consilium/shared/fingerprint/histogram";
import { planHash } from "@consilium/shared/plan";
import type {
  CohortSum,
  FingerprintHeader,
  FingerprintMessage,
} from "@consilium/shared/protocol/fingerprint";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Coordinator } from "./app.ts";
import { Bench, testPlan } from "./testing/coordinator.ts";
import type { FakeSite } from "./testing/fake-site.ts";

const bench = new Bench();
const plan = testPlan();
const random = (length: number): Uint8Array => new Uint8Array(length).fill(7);
let home: string;
let coordinator: Coordinator;
const sites: FakeSite[] = [];

/** Everything in one bin of the body parts. */
function imagesOf(bodyPart: number): Uint32Array {
  const counts = emptyCounts();
  counts.bodyPart[bodyPart] = 1;
  return fingerprintFrom(counts);
}

function messageOf(
  site: FakeSite,
  vector: Uint32Array,
  change: Partial<FingerprintHeader> = {},
): FingerprintMessage {
  if (site.enrolment === null) throw new Error("not enrolled");
  const { federation } = plan;
  const context = { kind: "fingerprint", federation, round: 0, attempt: 0, site: site.site };
  const sealed = seal(encodeFingerprint(vector), { reader: site.enrolment.coordinator, context, random });
  const header = {
    federation,
    site: site.site,
    planHash: planHash(plan),
    sealedSha256: sha256(sealed),
    ...change,
  };
  return { header: sign("fingerprint", header, site.identity), sealed: toBase64Url(sealed) };
}

const send = (site: FakeSite, message: unknown): Promise<object> =>
  site.ask(site.control, "fingerprint", message);

async function cohort(site: FakeSite): Promise<CohortSum> {
  return (await site.ask<{ cohort: CohortSum }>(site.control, "cohort")).cohort;
}

const verdicts = (): Record<string, string> =>
  Object.fromEntries(
    coordinator.federations
      .get("chest")
      .status()
      .images.map(({ site, verdict }) => [site, verdict]),
  );

beforeAll(async () => {
  home = await bench.home();
  coordinator = await bench.start({ home, plan });
  for (const name of ["east", "north", "south"]) {
    const site = await bench.site(coordinator, name);
    await site.connect();
    sites.push(site);
  }
});
afterAll(() => bench.end());

describe("fingerprints", () => {
  const chests = imagesOf(2);
  const knees = imagesOf(8);
  const [first, second, third] = [0, 1, 2].map((i) => () => sites[i] as FakeSite) as [
    () => FakeSite,
    () => FakeSite,
    () => FakeSite,
  ];

  it("of one site alone are compared with nothing", async () => {
    await send(first(), messageOf(first(), chests));
    expect(verdicts()).toEqual({});
  });

  it("of two are compared, but neither site is shown a sum, from which it could read the other's", async () => {
    await send(second(), messageOf(second(), chests));
    expect(verdicts()).toEqual({ east: "like the others", north: "like the others" });
    expect(await cohort(first())).toEqual({ sites: 2, sum: null });
  });

  it("of three show which one is unlike the others, and their sum goes back", async () => {
    await send(third(), messageOf(third(), knees));
    expect(verdicts()).toEqual({
      east: "like the others",
      north: "like the others",
      south: "body part unlike the others (1.00)",
    });
    expect(await cohort(third())).toEqual({
      sites: 3,
      sum: Array.from(sumOfFingerprints([chests, chests, knees])),
    });
  });

  it("survive a restart, sealed as they came", async () => {
    const before = verdicts();
    await bench.stop(coordinator);
    coordinator = await bench.start({ home, plan });
    for (const site of sites) {
      site.url = coordinator.url;
      await site.connect();
    }
    expect(verdicts()).toEqual(before);
  });

  it("are replaced by a newer one of the same site, and repeating one changes nothing", async () => {
    const mended = messageOf(third(), chests);
    await send(third(), mended);
    await send(third(), mended);
    expect(verdicts()).toMatchObject({ south: "like the others" });
    expect((await cohort(first())).sites).toBe(3);
  });

  it("of another site, of another plan, altered or of a wrong shape are refused", async () => {
    const other = sites[1] as FakeSite;
    const sound = messageOf(first(), chests);
    const claimed = Uint32Array.from(chests, (share) => share * 3);
    for (const [message, code] of [
      [messageOf(other, chests), "auth.failed"],
      [{ ...sound, header: messageOf(other, chests, { site: first().site }).header }, "crypto.bad-signature"],
      [messageOf(first(), chests, { planHash: sha256("another") }), "plan.mismatch"],
      [{ ...sound, sealed: messageOf(first(), knees).sealed }, "hash.mismatch"],
      [messageOf(first(), claimed), "protocol.invalid-message"],
      [messageOf(first(), chests.subarray(1)), "frame.wrong-length"],
      [{ ...sound, patient: "CANARY" }, "protocol.invalid-message"],
    ] as const) {
      const refused = send(first(), message);
      await expect(refused).rejects.toMatchObject({ code });
      await expect(refused).rejects.not.toThrow("CANARY");
    }
    expect(verdicts()).toMatchObject({ east: "like the others" });
  });
});
