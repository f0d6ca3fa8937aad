/** What went over the wire, beside what the site says of it. */
import { sha256 } from "@consilium/shared/canonical";
import { progressSchema, uploadBeginSchema, type UploadBegin } from "@consilium/shared/protocol/events";
import { fingerprintMessageSchema } from "@consilium/shared/protocol/fingerprint";
import { maskingAnswerSchema } from "@consilium/shared/protocol/masking";
import { afterEach, describe, expect, it } from "vitest";
import { startCaptureProxy, type CaptureProxy } from "../../../test/support/capture-proxy.ts";
import { arithmeticTrainer, TestFederation, type TestSite } from "../../../test/support/federation.ts";
import { receiptsFile, type Receipt } from "./receipts.ts";

let federation: TestFederation | null = null;
let proxy: CaptureProxy | null = null;
afterEach(async () => {
  await proxy?.close();
  await federation?.close();
  federation = proxy = null;
});

const receiptsOf = ({ home }: TestSite): Promise<readonly Receipt[]> =>
  receiptsFile(home.receiptsFile).list();

/** Requests that say nothing: they name what is asked for, and no more. */
const QUESTIONS = new Set(["position", "cohort", "masking.show", "upload.commit"]);

interface Said {
  readonly what: string;
  readonly text: string;
}

/** Every message of a capture, as the JSON text of its content. */
function said(texts: readonly string[]): Said[] {
  return texts.flatMap((text) => {
    if (text.startsWith("{")) return [{ what: httpBody(text), text }];
    // Engine.io's type, socket.io's type, number of attachments, namespace, acknowledgement: then the event.
    const match = /^4[25](?:\d+-)?\/\w+,\d*(\[.*)$/s.exec(text);
    if (match === null) return [];
    const [event, content] = JSON.parse(match[1] ?? "[]") as [string, unknown];
    return QUESTIONS.has(event) ? [] : [{ what: event, text: JSON.stringify(content) }];
  });
}

function httpBody(text: string): string {
  const { body = {}, ...rest } = JSON.parse(text) as Record<string, unknown>;
  return Object.keys({ ...(body as object), ...rest }).join();
}

describe("everything that leaves has a receipt, and every receipt has left", () => {
  it.each([
    ["plain", 1],
    ["masked", 3],
  ] as const)("%s", async (secure, count) => {
    federation = await TestFederation.start({
      rounds: 2,
      minSites: count,
      aggregation: { secure, examplesCap: 16 },
    });
    const { port } = federation;
    proxy = await startCaptureProxy(port);
    // The first site goes through the proxy.
    const sites: TestSite[] = [];
    for (const [i, name] of ["a", "b", "c"].slice(0, count).entries()) {
      sites.push(await federation.site(name, i === 0 ? proxy.url : undefined));
    }
    const [watched] = sites;
    if (watched === undefined) throw new Error("there is one");
    await Promise.all(sites.map((site) => site.run(arithmeticTrainer(1e-3)).result));

    const receipts = await receiptsOf(watched);
    const known = new Set(receipts.map((receipt) => receipt.sha256));
    const messages = said(proxy.capturedTexts());
    const left = new Set<string>();
    const progress: string[] = [];
    const unknown: string[] = [];
    const check = (what: string, hash: string): void => {
      left.add(hash);
      if (!known.has(hash as Receipt["sha256"])) unknown.push(what);
    };
    for (const { what, text } of messages) {
      if (what === "progress") progress.push(text);
      else if (what === "upload.begin") {
        const { object } = uploadSchema.parse(JSON.parse(text));
        if (object.kind === "contribution") check("metrics", sha256(JSON.stringify(object.header)));
        check(object.kind, sealedHashOf(object));
      } else if (what === "fingerprint") {
        check(what, fingerprintMessageSchema.parse(JSON.parse(text)).header.body.sealedSha256);
      } else if (what === "masking.answer") {
        check(what, sha256(JSON.stringify(maskingAnswerSchema.parse(JSON.parse(text)).message)));
      }
      // A chunk is part of an object, a challenge asks for one, and joining is recorded by a command that is not used here.
      else if (what !== "upload.chunk" && what !== "federation,site" && !what.includes("tokenSecret")) {
        check(what, sha256(text));
      }
    }
    expect(unknown).toEqual([]);

    // Progress is one receipt for each attempt, of all its messages.
    const attempts = new Map<string, string>();
    for (const text of progress) {
      const { round, attempt } = progressSchema.parse(JSON.parse(text));
      const key = `${round}/${attempt}`;
      attempts.set(key, `${attempts.get(key) ?? ""}${text}\n`);
    }
    for (const texts of attempts.values()) left.add(sha256(texts));
    const notLeft = receipts
      .filter(({ state }) => state !== "sending")
      .filter((one) => !left.has(one.sha256));
    expect(notLeft.map(({ kind }) => kind)).toEqual([]);
    const kinds = new Set(receipts.map(({ kind }) => kind));
    const own =
      secure === "plain"
        ? ["contribution", "metrics", "fingerprint"]
        : ["masked-vector", "masking-shares", "image-distances"];
    for (const kind of ["session", "hello", "progress", "audit-signature", ...own]) {
      expect(kinds).toContain(kind);
    }
  });
});

const uploadSchema = uploadBeginSchema.pick({ object: true }).strip();

function sealedHashOf(object: UploadBegin["object"]): string {
  switch (object.kind) {
    case "contribution":
      return object.header.body.sealedSha256;
    case "masked":
      return object.masked.body.sha256;
    case "genesis":
      return object.sealedSha256;
  }
}
