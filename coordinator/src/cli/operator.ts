/** `invite`, `status` and `resume`: the operator's commands, over the HTTP API of the coordinator that runs on this home folder. */
import { ConsiliumError, ERRORS, toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { siteIdSchema, type SiteId } from "@consilium/shared/ids";
import {
  errorBodySchema,
  federationStatusSchema,
  invitationReplySchema,
  type FederationStatus,
} from "@consilium/shared/protocol/http";
import { roundInWords } from "@consilium/shared/protocol/round";
import { counted, formatBytes } from "@consilium/shared/units";
import { z } from "zod";
import { readOperatorAccess } from "../home.ts";
import { say, type Terminal } from "./terminal.ts";

export interface OperatorOptions {
  readonly home: string;
  readonly federation?: string;
}

export async function invite(
  options: OperatorOptions & { readonly site: string; readonly validDays: number },
  terminal: Terminal,
): Promise<void> {
  const site = parseSite(options.site);
  const call = await operatorApi(options.home);
  const federation = await chooseFederation(options.federation, call);
  const body = { site, validForMs: Math.round(options.validDays * 24 * 3600_000) };
  const reply = await call(invitationReplySchema, `/api/federations/${federation}/invitations`, body);
  say(
    terminal,
    { event: "result", federation, ...reply },
    [
      `Hand this to ${reply.site} over a channel you trust; it works once, until ${reply.expiresAt}:`,
      "",
      `  ${reply.token}`,
      "",
      "There it goes into a file that only its owner can read, or is piped into standard input (--token-file -):",
      "",
      "  consilium-site join --coordinator URL --token-file FILE",
    ].join("\n"),
  );
}

export async function status(options: OperatorOptions, terminal: Terminal): Promise<void> {
  const call = await operatorApi(options.home);
  const all = await call(z.array(federationStatusSchema), "/api/federations");
  const chosen = all.filter(
    ({ federation }) => options.federation === undefined || federation === options.federation,
  );
  if (chosen.length === 0) throw new ConsiliumError("federation.unknown");
  say(terminal, { event: "result", federations: chosen }, chosen.map(describeStatus).join("\n\n"));
}

export async function resume(options: OperatorOptions, terminal: Terminal): Promise<void> {
  const call = await operatorApi(options.home);
  const federation = await chooseFederation(options.federation, call);
  const { phase, summary } = await call(federationStatusSchema, `/api/federations/${federation}/resume`, {});
  say(terminal, { event: "result", federation, phase, summary }, `Resumed. ${summary}`);
}

type Call = <T extends z.ZodType>(schema: T, path: string, body?: object) => Promise<z.infer<T>>;

export async function operatorApi(home: string): Promise<Call> {
  const { url, token } = await readOperatorAccess(home);
  return async (schema, path, body) => {
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(
      url + path,
      body === undefined
        ? { headers }
        : {
            method: "POST",
            headers: { ...headers, "content-type": "application/json" },
            body: JSON.stringify(body),
          },
    ).catch((error: unknown) => {
      // fetch hides the socket's own error one level down.
      throw toConsiliumError(error instanceof Error ? (error.cause ?? error) : error);
    });
    const value: unknown = await response.json();
    if (response.ok) return schema.parse(value);
    const problem = errorBodySchema.safeParse(value).data;
    const known = problem !== undefined && isErrorCode(problem.code);
    throw new ConsiliumError(known ? (problem.code as ErrorCode) : "internal", {
      culprits: problem?.culprits ?? [],
    });
  };
}

const isErrorCode = (code: string): boolean => Object.hasOwn(ERRORS, code);

/** @throws config.invalid */
export function parseSite(text: string): SiteId {
  const parsed = siteIdSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new ConsiliumError("config.invalid", {
    detail: "(--site: use 1 to 63 of a-z, 0-9 and inner hyphens)",
    culprits: ["site"],
  });
}

/** With a single federation there is nothing to choose. */
export async function chooseFederation(named: string | undefined, call: Call): Promise<string> {
  if (named !== undefined) return named;
  const all = await call(z.array(federationStatusSchema), "/api/federations");
  const [only] = all;
  if (only === undefined || all.length > 1) {
    throw new ConsiliumError("config.invalid", {
      detail: `(name one with --federation: ${all.map(({ federation }) => federation).join(", ")})`,
      culprits: ["federation"],
    });
  }
  return only.federation;
}

function describeStatus(status: FederationStatus): string {
  const loss = status.history.findLast((round) => round.loss !== null)?.loss ?? null;
  const head = [
    `${status.federation}: ${status.plan.title}`,
    `  ${status.summary}`,
    `  ${status.phase === "finished" ? `${counted(Math.min(status.round, status.rounds), "round")} done` : roundInWords(status.round, status)}, loss ${loss === null ? "-" : loss.toFixed(4)}, coordinator ${status.coordinatorWords}`,
  ];
  const sites = status.sites.map((site) => {
    const compared = status.images.find((image) => image.site === site.site);
    const images = compared === undefined ? "" : `, images ${compared.verdict}`;
    return `  ${site.connected ? "*" : " "} ${site.site.padEnd(20)} ${(site.hold?.reason ?? site.phase).padEnd(13)} ${site.contributions} updates, ${formatBytes(site.receivedBytes)}${images}`;
  });
  return [
    ...head,
    ...describeFrozen(status),
    ...describeEvaluation(status),
    ...describeMasks(status),
    describeCohort(status),
    ...sites,
  ].join("\n");
}

/** What freezing layers or low rank saves; nothing where all weights travel. */
function describeFrozen({ plan, parameters, updateParameters }: FederationStatus): readonly string[] {
  if (parameters === null || updateParameters === null || parameters === updateParameters) return [];
  const bytes = (weights: number): string => formatBytes((weights * plan.aggregation.linkBits) / 8);
  return [
    `  updates carry ${updateParameters} of ${parameters} weights: ${bytes(updateParameters)} instead of ${bytes(parameters)} from each site and round`,
  ];
}

/** The newest one; nothing where the plan does not ask, or nobody has labels enough. */
function describeEvaluation({ history }: FederationStatus): readonly string[] {
  const newest = history.findLast(({ totals }) => totals?.evaluation !== undefined);
  const evaluation = newest?.totals?.evaluation;
  if (newest === undefined || evaluation === undefined) return [];
  const classes = evaluation.classes.map(({ class: name, auroc, positives, negatives }) =>
    auroc === null
      ? `${name} unknown`
      : `${name} ${auroc.value.toFixed(3)} (${auroc.low.toFixed(3)} to ${auroc.high.toFixed(3)}; ${positives} against ${negatives} images)`,
  );
  return [
    `  AUROC of ${evaluation.sites} sites together, of the model that round ${newest.round} started from: ${classes.join(", ")}`,
  ];
}

/** The same of masks. */
function describeMasks({ history }: FederationStatus): readonly string[] {
  const newest = history.findLast(({ totals }) => totals?.masks !== undefined);
  const masks = newest?.totals?.masks;
  if (newest === undefined || masks === undefined) return [];
  const classes = masks.classes.map(({ class: name, dice }) => `${name} ${dice?.toFixed(3) ?? "unknown"}`);
  return [
    `  Dice of ${masks.sites} sites together (${masks.images} images), of the model that round ${newest.round} started from: ${classes.join(", ")}`,
  ];
}

/** Histograms whose bins have names that people read. */
const NAMED_GROUPS: readonly string[] = ["modality", "bodyPart", "view", "vendor"];

function describeCohort({ cohort: { sites, groups, givenUp } }: FederationStatus): string {
  if (givenUp !== null) return `  images: no sum of what they are like (${givenUp})`;
  if (groups === null) return "  images: not added up yet";
  const parts = groups
    .filter(({ name }) => NAMED_GROUPS.includes(name))
    .map(({ title, shares }) => {
      const filled = shares.filter(({ share }) => share > 0).sort((a, b) => b.share - a.share);
      return `${title} ${filled.map(({ bin, share }) => `${bin} ${Math.round(100 * share)} %`).join(", ") || "unknown"}`;
    });
  return `  images of ${sites} sites together: ${parts.join("; ")}`;
}
