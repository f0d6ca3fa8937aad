/** A PACS that is asked with QIDO-RS and sends with WADO-RS (PS3.18, 10.6 and 10.4), series by series. */
import type { IncomingMessage } from "node:http";
import { ConsiliumError } from "@consilium/shared/errors";
import { z } from "zod";
import { fileKey } from "../../../dataset/keys.ts";
import { connectionError } from "../connection-error.ts";
import type { PullQuery, PullSource, PullUnit } from "../pull.ts";
import type { Spool } from "../spool.ts";
import { boundaryOf, splitMultipart, type PartSink } from "./multipart.ts";
import type { WebClient } from "./web-client.ts";

export interface WebSourceOptions {
  readonly client: WebClient;
  readonly secret: Uint8Array;
  /** Series of these alone are fetched; of all that hold images if none is named. */
  readonly modalities: readonly string[];
  readonly onStored: () => void;
}

/** As it is stored: without the asterisk the PACS decompresses everything. */
const ANY_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*';
const JSON_TYPE = "application/dicom+json";
const PAGE = 200;
const NO_CONTENT = 204;
const MAX_JSON_BYTES = 64 * 1024 * 1024;

const STUDIES = "studies";
const STUDY = "0020000D";
const SERIES = "0020000E";
const INSTANCE = "00080018";
const MODALITY = "00080060";

/** Series of these hold no images: reports, states, key objects, documents, plans, marks, curves. */
const WITHOUT_IMAGES = new Set(
  "SR PR KO DOC PLAN RTPLAN RTSTRUCT RTDOSE RTRECORD SEG REG FID RWV ECG HD AU EPS RESP STAIN".split(" "),
);

/** Of each match only what is asked for is kept; the rest may be anything. */
const valueSchema = z.object({ Value: z.array(z.unknown()).optional() });
const matchesSchema = z.array(z.record(z.string(), z.unknown()));
type Match = z.infer<typeof matchesSchema>[number];

export function webSource(options: WebSourceOptions): PullSource {
  return {
    async find(query, signal) {
      const studies = await findStudies(options, query, signal);
      if (query.level === "study") return studies.map((study) => ({ study, series: null }));
      const units: PullUnit[] = [];
      for (const study of studies)
        for (const series of await findSeries(options, study, signal)) units.push({ study, series });
      return units;
    },
    async retrieve({ study, series }, spool, signal) {
      const all = series === null ? await findSeries(options, study, signal) : [series];
      for (const one of all) await retrieveSeries(options, { study, series: one }, spool, signal);
    },
  };
}

async function findStudies(
  options: WebSourceOptions,
  { modalities, from, to, matching }: PullQuery,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const modality of modalities.length === 0 ? [null] : modalities) {
    const query = new URLSearchParams(matching);
    if (modality !== null) query.set("ModalitiesInStudy", modality);
    if (from !== null || to !== null) query.set("StudyDate", `${from ?? ""}-${to ?? ""}`);
    for (const match of await ask(options, STUDIES, query, STUDY, signal)) found.add(uidOf(match, STUDY));
  }
  return [...found];
}

async function findSeries(
  options: WebSourceOptions,
  study: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const query = new URLSearchParams({ includefield: MODALITY });
  const matches = await ask(options, `studies/${study}/series`, query, SERIES, signal);
  return matches.filter((match) => isWanted(match, options.modalities)).map((match) => uidOf(match, SERIES));
}

function isWanted(match: Match, modalities: readonly string[]): boolean {
  const [modality] = valuesOf(match, MODALITY);
  if (typeof modality !== "string") return true;
  return modalities.length === 0 ? !WITHOUT_IMAGES.has(modality) : modalities.includes(modality);
}

/** All matches, page after page. A PACS that does not know pages sends the same again, which ends it. */
async function ask(
  { client }: WebSourceOptions,
  path: string,
  query: URLSearchParams,
  identifier: string,
  signal: AbortSignal,
): Promise<readonly Match[]> {
  const found = new Map<string, Match>();
  for (let offset = 0; ;) {
    const page = new URLSearchParams(query);
    page.set("limit", String(PAGE));
    page.set("offset", String(offset));
    const response = await client.get(path, page, JSON_TYPE, signal);
    // The list of all studies is always there; a study or its series may have gone since.
    if (response === null && path === STUDIES && offset === 0)
      throw new ConsiliumError("pacs.invalid", {
        detail: "(there is no DICOMweb service at --url: HTTP 404)",
      });
    const matches = response === null ? [] : parseMatches(await readText(response, signal));
    const before = found.size;
    for (const match of matches) found.set(uidOf(match, identifier), match);
    if (found.size === before) return [...found.values()];
    offset += matches.length;
  }
}

async function retrieveSeries(
  options: WebSourceOptions,
  { study, series }: { readonly study: string; readonly series: string },
  spool: Spool,
  signal: AbortSignal,
): Promise<void> {
  const path = `studies/${study}/series/${series}`;
  if (await retrieve(options, path, spool, signal)) return;
  // Some do not find a series whose UID two patients share; its instances they do.
  const instances = await ask(options, `${path}/instances`, new URLSearchParams(), INSTANCE, signal);
  if (instances.length === 0) throw new ConsiliumError("pacs.failed", { detail: "(it sent nothing)" });
  for (const instance of instances) {
    if (!(await retrieve(options, `${path}/instances/${uidOf(instance, INSTANCE)}`, spool, signal)))
      throw new ConsiliumError("pacs.failed", { detail: "(an image is listed and not there)" });
  }
}

/** @returns false if the PACS does not find it */
async function retrieve(
  { client, secret, onStored }: WebSourceOptions,
  path: string,
  spool: Spool,
  signal: AbortSignal,
): Promise<boolean> {
  await spool.room(signal);
  const response = await client.get(path, new URLSearchParams(), ANY_SYNTAX, signal);
  if (response === null || response.statusCode === NO_CONTENT) {
    response?.resume();
    return false;
  }
  const parts = new Parts(spool, (number) => fileKey(secret, `${path}/${number}`), onStored);
  const begin = (): Promise<PartSink> => parts.begin();
  try {
    const contentType = response.headers["content-type"] ?? "";
    const boundary = boundaryOf(contentType);
    const body = streamOf(response, signal);
    if (boundary !== null) await splitMultipart(body, boundary, begin);
    else if (/^application\/dicom\b(?!\+)/i.test(contentType)) await takeWhole(body, await begin());
    else throw new ConsiliumError("pacs.invalid", { detail: "(neither multipart nor DICOM)" });
  } finally {
    await parts.dropUnfinished();
    response.destroy();
  }
  if (parts.count === 0) throw new ConsiliumError("pacs.failed", { detail: "(it sent nothing)" });
  return true;
}

async function takeWhole(body: AsyncIterable<Uint8Array>, sink: PartSink): Promise<void> {
  for await (const piece of body) await sink.write(piece);
  await sink.end();
}

/** The parts of one reply on their way into the spool. */
class Parts {
  count = 0;
  readonly #spool: Spool;
  readonly #keyOf: (number: number) => string;
  readonly #onStored: () => void;
  #drop: (() => Promise<void>) | null = null;

  constructor(spool: Spool, keyOf: (number: number) => string, onStored: () => void) {
    this.#spool = spool;
    this.#keyOf = keyOf;
    this.#onStored = onStored;
  }

  async begin(): Promise<PartSink> {
    const arrival = await this.#spool.begin(this.#keyOf(this.count));
    this.#drop = () => arrival.drop();
    return {
      write: (piece) => arrival.write([piece]),
      end: async () => {
        this.#drop = null;
        await arrival.keep();
        this.count += 1;
        this.#onStored();
      },
    };
  }

  async dropUnfinished(): Promise<void> {
    await this.#drop?.();
  }
}

/** The body, with our errors where it breaks off. */
async function* streamOf(response: IncomingMessage, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  try {
    for await (const chunk of response) yield chunk as Uint8Array;
  } catch (cause) {
    signal.throwIfAborted();
    throw connectionError(cause);
  }
}

async function readText(response: IncomingMessage, signal: AbortSignal): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of streamOf(response, signal)) {
    bytes += chunk.length;
    if (bytes > MAX_JSON_BYTES)
      throw new ConsiliumError("pacs.invalid", { detail: "(its list is too long)" });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** @throws pacs.invalid; nothing of the text enters it */
function parseMatches(text: string): readonly Match[] {
  let json: unknown = null;
  try {
    json = text === "" ? [] : JSON.parse(text);
  } catch {
    // Not JSON: as wrong as anything else.
  }
  const parsed = matchesSchema.safeParse(json);
  if (!parsed.success) throw new ConsiliumError("pacs.invalid", { detail: "(not a list of DICOM JSON)" });
  return parsed.data;
}

function valuesOf(match: Match, tag: string): readonly unknown[] {
  const parsed = valueSchema.safeParse(match[tag]);
  return parsed.success ? (parsed.data.Value ?? []) : [];
}

/** @throws pacs.invalid unless it is a UID, which goes into the path of a request */
function uidOf(match: Match, tag: string): string {
  const [value] = valuesOf(match, tag);
  if (typeof value === "string" && /^[0-9.]{1,64}$/.test(value)) return value;
  throw new ConsiliumError("pacs.invalid", { detail: "(a match without its UID)" });
}
