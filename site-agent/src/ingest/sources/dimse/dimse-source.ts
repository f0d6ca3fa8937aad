/** A PACS that is asked with C-FIND and sends with C-GET on the same association, or with C-MOVE to our listener. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Dataset as DicomDataset, requests as requestTypes, responses as answers } from "dcmjs-dimse";
import { readableSyntaxes } from "../../header/syntax.ts";
import type { PullQuery, PullSource, PullUnit } from "../pull.ts";
import { COMPANION_CLASSES, FREQUENT_IMAGE_CLASSES, IMAGE_CLASSES } from "../sop-classes.ts";
import type { Spool } from "../spool.ts";
import { constants, requests } from "./library.ts";
import { call, requestContext, type CallOptions, type ProposedContext } from "./requestor.ts";
import type { StoreOutcome } from "./store-peer.ts";

export interface DimseSourceOptions extends CallOptions {
  readonly method: "get" | "move";
  readonly secret: Uint8Array;
  readonly onStored: (outcome: StoreOutcome) => void;
}

const { Status, TransferSyntax } = constants;
/** The PACS does not know where to send (PS3.4, C.4.2.1.5). */
const MOVE_DESTINATION_UNKNOWN = 0xa801;
const PLAIN = [TransferSyntax.ExplicitVRLittleEndian, TransferSyntax.ImplicitVRLittleEndian];
/** Each in a context of its own, so that the PACS may send an image as it is stored: JPEG, JPEG-LS, JPEG 2000, RLE. */
const COMPRESSED = [".4.50", ".4.70", ".4.80", ".4.90", ".5"].map((suffix) => `1.2.840.10008.1.2${suffix}`);

export function dimseSource(options: DimseSourceOptions): PullSource {
  return {
    async find(query, signal) {
      const studies = await findStudies(options, query, signal);
      if (query.level === "study") return studies.map((study) => ({ study, series: null }));
      const units: PullUnit[] = [];
      for (const study of studies) units.push(...(await findSeries(options, query, study, signal)));
      return units;
    },
    retrieve: (unit, spool, signal) => retrieve(options, unit, spool, signal),
  };
}

async function findStudies(
  options: DimseSourceOptions,
  query: PullQuery,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { modalities, from, to, matching } = query;
  const dates = from === null && to === null ? {} : { StudyDate: `${from ?? ""}-${to ?? ""}` };
  const found = new Set<string>();
  // One question for each modality: not every PACS understands a list.
  for (const modality of modalities.length === 0 ? [null] : modalities) {
    const request = requests.CFindRequest.createStudyFindRequest({
      StudyInstanceUID: "",
      ...dates,
      ...(modality === null ? {} : { ModalitiesInStudy: modality }),
      ...matching,
    });
    const isMatch = (response: DicomDataset): boolean => hasModality(response, "ModalitiesInStudy", modality);
    for (const uid of await ask(options, request, "StudyInstanceUID", isMatch, signal)) found.add(uid);
  }
  return [...found];
}

async function findSeries(
  options: DimseSourceOptions,
  { modalities }: PullQuery,
  study: string,
  signal: AbortSignal,
): Promise<readonly PullUnit[]> {
  const found = new Set<string>();
  for (const modality of modalities.length === 0 ? [null] : modalities) {
    const request = requests.CFindRequest.createSeriesFindRequest({
      StudyInstanceUID: study,
      SeriesInstanceUID: "",
      ...(modality === null ? {} : { Modality: modality }),
    });
    const isMatch = (response: DicomDataset): boolean => hasModality(response, "Modality", modality);
    for (const uid of await ask(options, request, "SeriesInstanceUID", isMatch, signal)) found.add(uid);
  }
  return [...found].map((series) => ({ study, series }));
}

async function ask(
  options: DimseSourceOptions,
  request: requestTypes.CFindRequest,
  wanted: string,
  isMatch: (response: DicomDataset) => boolean,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const uids: string[] = [];
  const contexts = [requestContext(request)];
  const last = await call(options, request, contexts, null, signal, (response) => {
    const match = response.getDataset();
    const uid = match === undefined ? "" : (textsOf(match, wanted)[0] ?? "");
    if (match !== undefined && /^[0-9.]{1,64}$/.test(uid) && isMatch(match)) uids.push(uid);
  });
  if (last.getStatus() !== Status.Success) throw failed(last);
  return uids;
}

/** Matching by modality is optional (PS3.4, C.6.2.1): a PACS that does not know it answers with everything. */
function hasModality(response: DicomDataset, keyword: string, modality: string | null): boolean {
  const found = textsOf(response, keyword);
  return modality === null || found.length === 0 || found.includes(modality);
}

function textsOf(dataset: DicomDataset, keyword: string): readonly string[] {
  const values: unknown[] = [dataset.getElements()[keyword]].flat();
  return values.flatMap((value) => (typeof value === "string" && value.trim() !== "" ? [value.trim()] : []));
}

async function retrieve(
  options: DimseSourceOptions,
  unit: PullUnit,
  spool: Spool,
  signal: AbortSignal,
): Promise<void> {
  const { method, aet, secret, onStored } = options;
  const request = method === "get" ? getRequest(unit) : moveRequest(unit, aet);
  const contexts = [requestContext(request), ...(method === "get" ? STORAGE_CONTEXTS : [])];
  const last = await call(options, request, contexts, { spool, secret, onStored }, signal);
  const { completed, failures } = subOperations(last);
  if (failures > 0) {
    const detail = `(${failures} of ${failures + completed} objects)`;
    throw new ConsiliumError("pacs.failed", { detail });
  }
  if (last.getStatus() !== Status.Success) throw failed(last);
  if (completed === 0) throw new ConsiliumError("pacs.failed", { detail: "(it sent nothing)" });
}

function getRequest({ study, series }: PullUnit): requestTypes.CGetRequest {
  return series === null
    ? requests.CGetRequest.createStudyGetRequest(study)
    : requests.CGetRequest.createSeriesGetRequest(study, series);
}

function moveRequest({ study, series }: PullUnit, aet: string): requestTypes.CMoveRequest {
  return series === null
    ? requests.CMoveRequest.createStudyMoveRequest(aet, study)
    : requests.CMoveRequest.createSeriesMoveRequest(aet, study, series);
}

/** At most 128 contexts fit into an association. */
const STORAGE_CONTEXTS: readonly ProposedContext[] = [
  ...IMAGE_CLASSES.map((uid) => receiving(uid, PLAIN)),
  ...FREQUENT_IMAGE_CLASSES.flatMap((uid) =>
    COMPRESSED.filter((syntax) => readableSyntaxes().includes(syntax)).map((syntax) =>
      receiving(uid, [syntax]),
    ),
  ),
  ...COMPANION_CLASSES.map((uid) => receiving(uid, PLAIN)),
];

function receiving(abstractSyntax: string, transferSyntaxes: readonly string[]): ProposedContext {
  return { abstractSyntax, transferSyntaxes, weReceive: true };
}

/** Counts that the last response of C-GET and C-MOVE carries; a PACS may leave out those that are zero. */
function subOperations(response: answers.Response): { completed: number; failures: number } {
  const count = (name: string): number => {
    const value: unknown = response.getCommandDataset().getElements()[name];
    return typeof value === "number" ? value : 0;
  };
  return {
    completed: count("NumberOfCompletedSuboperations") + count("NumberOfWarningSuboperations"),
    failures: count("NumberOfFailedSuboperations"),
  };
}

function failed(response: answers.Response): ConsiliumError {
  const status = response.getStatus();
  if (status === MOVE_DESTINATION_UNKNOWN) {
    const detail = "(it does not know this site's AE title as a place to send to)";
    return new ConsiliumError("pacs.refused", { detail });
  }
  return new ConsiliumError("pacs.failed", { detail: `(status ${status.toString(16).padStart(4, "0")})` });
}
