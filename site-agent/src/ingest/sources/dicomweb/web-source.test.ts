import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PullQuery, PullSource } from "../pull.ts";
import { Spool } from "../spool.ts";
import { webClient } from "./web-client.ts";
import { webSource } from "./web-source.ts";

const never = new AbortController().signal;
let root: string;
let server: Server | null = null;
let spool: Spool;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "consilium-web-"));
  spool = await Spool.open(join(root, "spool"), { maxBytes: 10_000, minFreeBytes: 0 });
});
afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  await rm(root, { recursive: true, force: true });
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A PACS that answers by path and notes what it was asked. */
async function pacs(answers: Record<string, Answer>, modalities: readonly string[] = []) {
  const asked: string[] = [];
  const headers: IncomingMessage["headers"][] = [];
  server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? "", "http://pacs");
    asked.push(pathname + search);
    headers.push(request.headers);
    const answer = answers[pathname];
    if (answer === undefined) response.writeHead(404).end("CANARY");
    else answer(request, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = webClient({
    url: new URL(`http://127.0.0.1:${port}/dicom-web/`),
    headers: { authorization: "Bearer token" },
    tls: {},
  });
  const source = webSource({ client, secret: new Uint8Array(32), modalities, onStored: () => undefined });
  return { source, asked, headers };
}

const match = (tags: Record<string, string>) =>
  Object.fromEntries(Object.entries(tags).map(([tag, value]) => [tag, { vr: "UI", Value: [value] }]));

/** All matches on the first page, none on the next. */
const list =
  (...matches: object[]): Answer =>
  (request, response) => {
    const isFirst = new URL(request.url ?? "", "http://pacs").searchParams.get("offset") === "0";
    if (isFirst) response.end(JSON.stringify(matches));
    else response.writeHead(204).end();
  };

const multipart =
  (...parts: string[]): Answer =>
  (_request, response) => {
    response.setHeader("content-type", 'multipart/related; type="application/dicom"; boundary=b');
    const framed = parts.map((part) => `--b\r\nContent-Type: application/dicom\r\n\r\n${part}\r\n`);
    response.end(`${framed.join("")}--b--`);
  };

const query: PullQuery = { modalities: [], from: null, to: null, matching: {}, level: "study" };
const study = { study: "1.1", series: null };
const spooled = (): Promise<string[]> =>
  Promise.all(spool.next(99).map(({ path }) => readFile(path, "utf8")));
const retrieve = (source: PullSource): Promise<void> => source.retrieve(study, spool, never);

describe("a PACS with DICOMweb", () => {
  it("that is not at this address is an error; one that has nothing is none", async () => {
    const elsewhere = await pacs({});
    await expect(elsewhere.source.find(query, never)).rejects.toMatchObject({
      code: "pacs.invalid",
      detail: expect.stringContaining("no DICOMweb service") as string,
    });
    server?.close();
    const empty = await pacs({ "/dicom-web/studies": (_request, response) => response.writeHead(204).end() });
    expect(await empty.source.find(query, never)).toEqual([]);
    // A study that has gone since has no series.
    await expect(empty.source.retrieve(study, spool, never)).resolves.toBeUndefined();
  });

  it("is asked modality by modality and page by page, with the token", async () => {
    const { source, asked, headers } = await pacs({
      "/dicom-web/studies": list(
        match({ "0020000D": "1.1", "00100010": "CANARY" }),
        match({ "0020000D": "1.2" }),
      ),
    });
    const found = await source.find(
      { ...query, modalities: ["CR", "DX"], from: "20240101", matching: { StudyDescription: "*CHEST*" } },
      never,
    );
    expect(found).toEqual([
      { study: "1.1", series: null },
      { study: "1.2", series: null },
    ]);
    expect(asked[0]).toBe(
      "/dicom-web/studies?StudyDescription=*CHEST*&ModalitiesInStudy=CR&StudyDate=20240101-&limit=200&offset=0",
    );
    expect(asked).toHaveLength(4);
    for (const { authorization } of headers) expect(authorization).toBe("Bearer token");
  });

  it("sends series by series, as it stores them, and none that hold no images", async () => {
    const { source, asked, headers } = await pacs({
      "/dicom-web/studies/1.1/series": list(
        match({ "0020000E": "2.1", "00080060": "CR" }),
        match({ "0020000E": "2.2", "00080060": "SR" }),
      ),
      "/dicom-web/studies/1.1/series/2.1": multipart("first", "second"),
    });
    await retrieve(source);
    expect(await spooled()).toEqual(["first", "second"]);
    expect(asked).not.toContain("/dicom-web/studies/1.1/series/2.2");
    expect(headers.at(-1)?.accept).toBe('multipart/related; type="application/dicom"; transfer-syntax=*');
  });

  it("that does not find a series is asked for its images", async () => {
    const { source } = await pacs({
      "/dicom-web/studies/1.1/series": list(match({ "0020000E": "2.1" })),
      "/dicom-web/studies/1.1/series/2.1/instances": list(
        match({ "00080018": "3.1" }),
        match({ "00080018": "3.2" }),
      ),
      "/dicom-web/studies/1.1/series/2.1/instances/3.1": multipart("one"),
      "/dicom-web/studies/1.1/series/2.1/instances/3.2": (_request, response) => {
        response.setHeader("content-type", "application/dicom");
        response.end("two");
      },
    });
    await retrieve(source);
    expect(await spooled()).toEqual(["one", "two"]);
  });

  it("that breaks off leaves what was whole and nothing of what was not", async () => {
    const cut: Answer = (_request, response) => {
      response.setHeader("content-type", "multipart/related; boundary=b");
      response.write("--b\r\n\r\nwhole\r\n--b\r\n\r\nha");
      setImmediate(() => response.destroy());
    };
    const { source } = await pacs({
      "/dicom-web/studies/1.1/series": list(match({ "0020000E": "2.1" })),
      "/dicom-web/studies/1.1/series/2.1": cut,
    });
    await expect(retrieve(source)).rejects.toMatchObject({ code: "pacs.unreachable" });
    expect(await spooled()).toEqual(["whole"]);
  });

  it.each([
    [401, "pacs.refused"],
    [403, "pacs.refused"],
    [500, "pacs.failed"],
    [429, "pacs.failed"],
    [302, "pacs.invalid"],
    [400, "pacs.invalid"],
  ])("that answers %i gives %s and none of its words", async (status, code) => {
    const { source } = await pacs({
      "/dicom-web/studies": (_request, response) => void response.writeHead(status).end("CANARY"),
    });
    const error: unknown = await source.find(query, never).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code });
    expect((error as Error).message).not.toContain("CANARY");
  });

  it("that speaks no DICOM JSON, or a UID that is none, is not understood", async () => {
    for (const body of ["<html>CANARY", "{}", JSON.stringify([match({ "0020000D": "../CANARY" })])]) {
      const { source } = await pacs({
        "/dicom-web/studies": (_request, response) => void response.end(body),
      });
      const error: unknown = await source.find(query, never).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "pacs.invalid" });
      expect((error as Error).message).not.toContain("CANARY");
      server?.close();
    }
  });

  it("that is not there is unreachable", async () => {
    const { source } = await pacs({});
    server?.close();
    await expect(source.find(query, never)).rejects.toMatchObject({ code: "pacs.unreachable" });
  });
});
