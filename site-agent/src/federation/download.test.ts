import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkpointFolder } from "./checkpoints.ts";
import { fetchCheckpoint } from "./download.ts";
import { httpClient, type Fetch } from "./http.ts";

const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 31) % 251);
const name = sha256(bytes);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-download-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** What a coordinator answers: each call takes the next answer, given where the range starts. */
function answering(...answers: ((start: number) => Response)[]): { fetch: Fetch; starts: number[] } {
  const starts: number[] = [];
  const fetch: Fetch = (_url, init) => {
    const range = new Headers(init?.headers).get("range");
    const start = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
    starts.push(start);
    const answer = answers.shift();
    if (answer === undefined) throw new Error("asked once too often");
    return Promise.resolve(answer(start));
  };
  return { fetch, starts };
}

const whole = (content: Uint8Array<ArrayBuffer>) => (): Response => new Response(content);

const rest =
  (content: Uint8Array<ArrayBuffer>) =>
  (start: number): Response =>
    new Response(content.subarray(start), {
      status: 206,
      headers: { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` },
    });

/** Some bytes, then a broken connection. */
const cutAfter = (count: number) => (start: number) =>
  new Response(
    new ReadableStream({
      pull(controller) {
        if (count > 0) controller.enqueue(bytes.slice(start, start + count));
        else controller.error(new TypeError("terminated"));
        count = 0;
      },
    }),
    start === 0 ? {} : { status: 206, headers: { "content-range": `bytes ${start}-99999/100000` } },
  );

function download(fetch: Fetch): Promise<Uint8Array> {
  return fetchCheckpoint({
    http: httpClient("http://127.0.0.1/", fetch),
    session: "session",
    checkpoints: checkpointFolder(folder),
    name,
    sizeBytes: bytes.length,
    onProgress: () => undefined,
    signal: new AbortController().signal,
  });
}

describe("fetching a checkpoint", () => {
  it("fetches once what it then holds", async () => {
    const { fetch, starts } = answering(whole(bytes));
    expect(Buffer.compare(await download(fetch), bytes)).toBe(0);
    expect(Buffer.compare(await download(fetch), bytes)).toBe(0);
    expect(starts).toEqual([0]);
  });

  it("goes on where it was cut", async () => {
    const { fetch, starts } = answering(cutAfter(30_000), cutAfter(20_000), rest(bytes));
    await expect(download(fetch)).rejects.toMatchObject({ code: "coordinator.unreachable" });
    await expect(download(fetch)).rejects.toMatchObject({ code: "coordinator.unreachable" });
    expect(Buffer.compare(await download(fetch), bytes)).toBe(0);
    expect(starts).toEqual([0, 30_000, 50_000]);
  });

  it("starts over where ranges are not understood", async () => {
    const { fetch } = answering(cutAfter(30_000), whole(bytes));
    await expect(download(fetch)).rejects.toMatchObject({ code: "coordinator.unreachable" });
    expect(Buffer.compare(await download(fetch), bytes)).toBe(0);
  });

  it("refuses a tampered checkpoint and keeps nothing of it", async () => {
    const tampered = bytes.slice();
    tampered[50_000] = 0xff;
    await expect(download(answering(whole(tampered)).fetch)).rejects.toMatchObject({
      code: "hash.mismatch",
    });
    expect(await readdir(folder)).toEqual([]);
  });

  it("refuses more bytes than the model has, without storing them", async () => {
    const { fetch } = answering(whole(new Uint8Array(bytes.length + 1)));
    await expect(download(fetch)).rejects.toMatchObject({ code: "frame.wrong-length" });
  });

  it("does not believe a range that was not asked for", async () => {
    const { fetch } = answering(cutAfter(30_000), () => rest(bytes)(10_000));
    await expect(download(fetch)).rejects.toMatchObject({ code: "coordinator.unreachable" });
    await expect(download(fetch)).rejects.toMatchObject({ code: "coordinator.unreachable" });
  });

  it("fetches again what was damaged on the site's own disk", async () => {
    const { fetch, starts } = answering(whole(bytes), whole(bytes));
    await download(fetch);
    await writeFile(path.join(folder, `${name}.ckpt`), "damaged");
    expect(Buffer.compare(await download(fetch), bytes)).toBe(0);
    expect(starts).toEqual([0, 0]);
  });

  it("passes on what the coordinator says", async () => {
    const refusal = { code: "blob.unknown", message: "", next: "", culprits: [] };
    const { fetch } = answering(() => Response.json(refusal, { status: 404 }));
    await expect(download(fetch)).rejects.toMatchObject({ code: "blob.unknown" });
  });
});
