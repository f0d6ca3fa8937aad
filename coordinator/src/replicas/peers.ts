/**
 * How coordinators reach each other. Over TLS each is shown the other's certificate, and believes none that it cannot
 * check; where sites have to show one, coordinators show theirs, of the same authority.
 */
import { X509Certificate } from "node:crypto";
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import { json } from "node:stream/consumers";
import { ConsiliumError } from "@consilium/shared/errors";
import { contextOf, type Certificates, type TlsMaterial } from "../tls.ts";

/** RFC 5280, 4.2.1.12. */
const CLIENT_USE = "1.3.6.1.5.5.7.3.2";
const KEEP_ALIVE = { keepAlive: true, keepAliveMsecs: 60_000 };

export class Peers {
  readonly agents = { "http:": new http.Agent(KEEP_ALIVE), "https:": new https.Agent(KEEP_ALIVE) };
  readonly #certificates: Certificates | null;

  constructor(certificates: Certificates | null) {
    this.#certificates = certificates;
    const take = (): void => {
      Object.assign(this.agents["https:"].options, this.tls());
    };
    take();
    certificates?.onRenewed(take);
  }

  /** Own certificate and whom to believe: the authority of the sites' where there is one, else those of the system. */
  tls(): https.RequestOptions {
    const own = this.#certificates === null ? {} : contextOf(this.#certificates.material);
    return { ...own, rejectUnauthorized: true, minVersion: "TLSv1.2" };
  }

  /** What came in over TLS does not go on without. */
  mayReach(url: string): boolean {
    return this.#certificates === null || url.startsWith("https:");
  }

  /** The answer's body. */
  async get(url: string, headers: http.OutgoingHttpHeaders, signal: AbortSignal): Promise<unknown> {
    const { request } = url.startsWith("https:") ? https : http;
    const agent = this.agents[url.startsWith("https:") ? "https:" : "http:"];
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request(url, { headers, agent, signal }, resolve).on("error", reject).end();
    });
    return json(response);
  }

  close(): void {
    for (const agent of Object.values(this.agents)) agent.destroy();
  }
}

/**
 * Whether other coordinators would let this one in, and be reached by it.
 * @throws config.invalid if it tells them an address without TLS; tls.unusable if its certificate is not of the authority
 *   that they ask for, or is not for clients
 */
export function assertPeer(material: TlsMaterial, advertise: string | null): void {
  if (advertise?.startsWith("http:") === true) {
    const detail = "(this coordinator speaks TLS: --advertise is an https:// address)";
    throw new ConsiliumError("config.invalid", { detail, culprits: ["advertise"] });
  }
  if (material.clientCa === null) return;
  const chain = certificatesIn(material.cert);
  const authorities = certificatesIn(material.clientCa);
  const isOfAuthority = chain.some((certificate) =>
    authorities.some((ca) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey)),
  );
  // Absent means any use.
  const uses = chain[0]?.keyUsage as readonly string[] | undefined;
  if (isOfAuthority && uses?.includes(CLIENT_USE) !== false) return;
  const detail =
    "(several coordinators show each other what sites have to show: theirs is of the --tls-client-ca authority, for servers and clients)";
  throw new ConsiliumError("tls.unusable", { detail, culprits: ["tlsCert", "tlsClientCa"] });
}

const certificatesIn = (pem: string): X509Certificate[] =>
  (pem.match(/-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/gs) ?? []).map(
    (text) => new X509Certificate(text),
  );
