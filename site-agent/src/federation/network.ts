/**
 * The way out of a hospital: through its proxy (HTTPS_PROXY, HTTP_PROXY, NO_PROXY; CONNECT, with the user and password of
 * the proxy's address), past a private certificate authority, with a client certificate where the coordinator's front
 * asks for one. It holds for the coordinator alone, and not for a PACS.
 */
import { rootCertificates } from "node:tls";
import { ConsiliumError } from "@consilium/shared/errors";
import { HttpsProxyAgent } from "https-proxy-agent";
import { Agent, fetch as fetchBy, ProxyAgent, type Dispatcher } from "undici";
import type { Environment } from "../config.ts";
import { connectionFailure } from "./connection-failure.ts";
import type { Fetch } from "./http.ts";

/** PEM. */
export interface NetworkTls {
  /** Authorities that are trusted beside those of the system. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** What a socket is opened with beside its address. */
export interface SocketSettings {
  readonly agent?: HttpsProxyAgent<string>;
  readonly ca?: string[];
  readonly cert?: string;
  readonly key?: string;
}

export interface Network {
  readonly fetch: Fetch;
  readonly sockets: SocketSettings;
  close(): Promise<void>;
}

/**
 * @param direct is used where neither a proxy nor a certificate is asked for
 * @throws config.invalid if the proxy's address is none
 */
export function openNetwork(
  coordinatorUrl: string,
  { env, tls, direct }: { readonly env: Environment; readonly tls: NetworkTls; readonly direct: Fetch },
): Network {
  const proxy = proxyFor(new URL(coordinatorUrl), env);
  const { ca, ...own } = tls;
  const settings = { ...own, ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }) };
  if (proxy === null && Object.keys(settings).length === 0) {
    return { fetch: direct, sockets: {}, close: () => Promise.resolve() };
  }
  const dispatcher =
    proxy === null
      ? new Agent({ connect: settings })
      : // The proxy may stand behind the same private authority.
        new ProxyAgent({ uri: proxy.href, requestTls: settings, proxyTls: settings });
  return {
    fetch: fetchThrough(dispatcher, proxy !== null),
    sockets: { ...settings, ...(proxy === null ? {} : { agent: new HttpsProxyAgent(proxy.href, settings) }) },
    close: () => dispatcher.destroy(),
  };
}

/** Of its failures only it knows whether there was a proxy. */
function fetchThrough(dispatcher: Dispatcher, throughProxy: boolean): Fetch {
  return async (input, init = {}) => {
    const { method = "GET", headers, body, signal, redirect } = init;
    if (body !== undefined && typeof body !== "string")
      throw new TypeError("text is all that is sent by HTTP");
    const response = await fetchBy(input instanceof Request ? input.url : input, {
      method,
      headers: [...new Headers(headers)],
      dispatcher,
      ...(body === undefined ? {} : { body }),
      ...(signal ? { signal } : {}),
      ...(redirect === undefined ? {} : { redirect }),
    }).catch((cause: unknown) => {
      throw connectionFailure(cause, throughProxy);
    });
    const { status, statusText } = response;
    return new Response(response.body, { status, statusText, headers: [...response.headers] });
  };
}

/** As curl has it: the variable of the address's scheme in either case, unless NO_PROXY names the host. */
export function proxyFor(target: URL, env: Environment): URL | null {
  const name = target.protocol === "https:" ? "https_proxy" : "http_proxy";
  const text = env[name] ?? env[name.toUpperCase()] ?? "";
  if (text === "" || isExempt(target, env["no_proxy"] ?? env["NO_PROXY"] ?? "")) return null;
  const address = text.includes("://") ? text : `http://${text}`;
  const proxy = URL.canParse(address) ? new URL(address) : null;
  if (proxy === null || !/^https?:$/.test(proxy.protocol)) {
    // The address may hold a password.
    throw new ConsiliumError("config.invalid", {
      detail: `(${name.toUpperCase()}: give an address like http://user:password@proxy.example:3128)`,
      culprits: [name.toUpperCase()],
    });
  }
  return proxy;
}

/** `host`, `.domain`, `domain` with all below it, each with or without `:port`, and `*`. */
function isExempt({ hostname, port, protocol }: URL, list: string): boolean {
  const ownPort = port === "" ? (protocol === "https:" ? "443" : "80") : port;
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .some((entry) => {
      const [, name = "", forPort = ownPort] = /^(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
      const domain = name.replace(/^\*?\./, "");
      const isNamed = name === "*" || hostname === domain || hostname.endsWith(`.${domain}`);
      return isNamed && forPort === ownPort;
    });
}
