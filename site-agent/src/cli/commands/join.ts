import { sha256 } from "@consilium/shared/canonical";
import { printOf } from "@consilium/shared/crypto/words";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { parsePlan, planHash, type Plan } from "@consilium/shared/plan";
import { noiseOverUpdate, siteNoiseMultiplier } from "@consilium/shared/privacy/site-noise";
import { fewestInSum } from "@consilium/shared/strategy-schema";
import { parseToken } from "@consilium/shared/protocol/token";
import type { Command } from "commander";
import { parseCoordinatorUrl } from "../../config.ts";
import { enrol } from "../../federation/enrol.ts";
import { failedState, receiptsFile } from "../../federation/receipts.ts";
import { shortHash } from "../../governance/gate.ts";
import { planText } from "../../governance/plan-text.ts";
import { assertAllowed, PLAIN_WARNING } from "../../policy.ts";
import { warnOfSiteNoise } from "../../privacy/statement.ts";
import { handle, siteCommand } from "../context.ts";
import { networkFor, tlsPaths, withNetworkOptions, type NetworkCliOptions } from "../network-options.ts";
import type { CliPorts } from "../ports.ts";
import { readSecretFile } from "../secret-file.ts";

interface Options extends NetworkCliOptions {
  readonly coordinator: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly acceptPlain?: boolean;
}

export function joinCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "join",
    "Join a federation with a one-time token.",
    `The token comes from the coordinator's operator, by a channel you trust. It carries the coordinator's public keys, which
this site keeps: from then on nobody else can pose as the coordinator. Compare the fingerprint by telephone. A plan that lets
the coordinator read single updates is refused unless --accept-plain is given.`,
    `consilium-site join --coordinator https://coordinator.example --token-file token.txt
     consilium-site join --coordinator https://coordinator.example --token-file -
     HTTPS_PROXY=http://proxy.example:3128 consilium-site join --ca ca.pem --coordinator https://coordinator.example --token-file token.txt`,
  )
    .requiredOption("--coordinator <url>", "the coordinator's address")
    .option("--token-file <file>", "file with the one-time token; - is standard input")
    .option("--token <token>", "the token itself, for all to read who may list this machine's processes")
    .option("--accept-plain", "allow a plan under which the coordinator can read this site's updates");
  return handle<Options>(withNetworkOptions(command), ports, async ({ options, output, openHome }) => {
    const home = await openHome();
    const coordinatorUrl = parseCoordinatorUrl(options.coordinator);
    const token = parseToken(await tokenText(options));
    const { site } = await home.readConfig();
    const identity = await home.identity();
    const network = await networkFor(coordinatorUrl, options, ports);
    const { request, send } = enrol({
      site,
      identity,
      coordinatorUrl,
      token,
      fetch: network.fetch,
      signal: ports.signal,
    });
    const receipts = receiptsFile(home.receiptsFile);
    const leaves = {
      federation: token.federation,
      kind: "enrolment",
      round: 0,
      attempt: 0,
      bytes: Buffer.byteLength(request),
      sha256: sha256(request),
    } as const;
    const at = (): string => new Date(ports.nowMs()).toISOString();
    await receipts.add({ ...leaves, at: at(), state: "sending" });
    const enrolment = await send().catch(async (error: unknown) => {
      await receipts.add({ ...leaves, at: at(), state: failedState(toConsiliumError(error)) });
      throw error;
    });
    await network.close();
    await receipts.add({ ...leaves, at: at(), state: "accepted" });
    const plan = parsePlan(enrolment.plan.body);
    if (options.acceptPlain === true) {
      await home.setPolicy({ ...(await home.policy()), requireSecureAggregation: false });
    }
    // The same token serves again once the policy allows the plan.
    assertAllowed(plan, await home.policy());
    await home.setTls(tlsPaths(options));
    await home.enrol(enrolment);
    if (plan.aggregation.secure === "plain") output.note(PLAIN_WARNING);
    await warnOfPrivacy(plan, (text) => {
      output.note(text);
    });
    const { planWeights } = await import("../../pretext/weights.ts");
    const print = printOf(enrolment.coordinator);
    const hash = planHash(plan);
    const { fingerprint: coordinatorFingerprint, words: coordinatorWords } = print;
    output.result(
      { federation: plan.federation, site, coordinatorFingerprint, coordinatorWords, planHash: hash, plan },
      `${site} has joined ${plan.federation}.
  coordinator  ${print.words}
               ${print.fingerprint}  (compare by telephone)
${planText(plan, planWeights(plan))}
  next         consilium-site ingest FOLDER; if you agree with the plan: consilium-site plan approve ${shortHash(hash)}`,
    );
  });
}

/** @throws config.invalid unless it is given in one way */
async function tokenText({ token, tokenFile }: Options): Promise<string> {
  if (tokenFile !== undefined && token === undefined) return readSecretFile("--token-file", tokenFile);
  if (tokenFile === undefined && token !== undefined) return token;
  const detail = "(give the one-time token with --token-file FILE, or with --token)";
  throw new ConsiliumError("config.invalid", { detail, culprits: ["--token-file"] });
}

/** Whole sites are protected at a price that people should know before they train. */
async function warnOfPrivacy({ privacy, ...plan }: Plan, note: (text: string) => void): Promise<void> {
  if (privacy.unit !== "site") return;
  const { countWeights } = await import("../../pretext/weights.ts");
  const weights = countWeights({ privacy, ...plan });
  const sites = fewestInSum(plan);
  const times = noiseOverUpdate(siteNoiseMultiplier(privacy, plan.rounds), weights, sites);
  note(warnOfSiteNoise(weights, sites, times));
}
