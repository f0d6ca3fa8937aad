/** A hospital's proxy that wants a password, in front of a coordinator with a private certificate that wants one too. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server as HttpServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { Server as SocketServer } from "socket.io";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeError } from "@consilium/shared/errors";
import { z } from "zod";
import { connectionFailure } from "./connection-failure.ts";
import { httpClient } from "./http.ts";
import { openNetwork, proxyFor, type Network, type NetworkTls } from "./network.ts";
import { connectLink } from "./transport.ts";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

describe("the proxy of an address", () => {
  const env = { HTTPS_PROXY: "proxy.example:3128", no_proxy: "inside.example, 10.0.0.5,other.example:8443" };
  it.each([
    ["https://coordinator.example/", "http://proxy.example:3128/"],
    ["http://coordinator.example/", null],
    ["https://inside.example/", null],
    ["https://deep.inside.example/", null],
    ["https://notinside.example/", "http://proxy.example:3128/"],
    // An entry without a port holds for every port of the host.
    ["https://10.0.0.5:9443/", null],
    ["https://10.0.0.5/", null],
    ["https://other.example:8443/", null],
    ["https://other.example/", "http://proxy.example:3128/"],
  ])("of %s is %s", (url, proxy) => {
    expect(proxyFor(new URL(url), env)?.href ?? null).toBe(proxy);
  });

  it("is refused without a word of the address when it is none", () => {
    const bad = { HTTPS_PROXY: "socks5://CANARY:CANARY@proxy.example" };
    expect(() => proxyFor(new URL("https://coordinator.example"), bad)).toThrow(
      expect.objectContaining({ code: "config.invalid", culprits: ["HTTPS_PROXY"] }) as Error,
    );
    try {
      proxyFor(new URL("https://coordinator.example"), bad);
    } catch (error) {
      expect(String(error)).not.toContain("CANARY");
    }
  });
});

describe.skipIf(!hasOpenssl)(
  "a coordinator behind a proxy, a private authority and client certificates",
  () => {
    let folder: string;
    let tls: Required<NetworkTls>;
    let front: Server;
    let proxy: HttpServer;
    let sockets: SocketServer;
    const connects: string[] = [];

    beforeAll(async () => {
      folder = await mkdtemp(path.join(tmpdir(), "consilium-network-"));
      const file = (name: string): string => path.join(folder, name);
      const made = spawnSync("openssl", [
        ...[
          "req",
          "-x509",
          "-newkey",
          "ec",
          "-pkeyopt",
          "ec_paramgen_curve:prime256v1",
          "-nodes",
          "-days",
          "2",
        ],
        ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        ...["-keyout", file("key.pem"), "-out", file("cert.pem")],
      ]);
      if (made.status !== 0) throw new Error("openssl made no certificate");
      const [cert, key] = await Promise.all(
        ["cert.pem", "key.pem"].map((name) => readFile(file(name), "utf8")),
      );
      tls = { ca: cert ?? "", cert: cert ?? "", key: key ?? "" };
      const https = createTlsServer(
        { cert: tls.cert, key: tls.key, ca: tls.ca, requestCert: true, rejectUnauthorized: true },
        (_request, response) => response.end("hello"),
      );
      sockets = new SocketServer(https, { transports: ["websocket"] });
      for (const name of ["/control", "/bulk"]) sockets.of(name);
      front = https.listen(0, "127.0.0.1");
      await once(front, "listening");
      const port = (front.address() as AddressInfo).port;
      proxy = createServer();
      proxy.on("connect", (request, client, head) => {
        const authorization = request.headers["proxy-authorization"] ?? "";
        connects.push(Buffer.from(authorization.replace("Basic ", ""), "base64").toString());
        const refusal = { "site:secret": null, "site:forbidden": 403, "site:lost": 503 }[
          connects.at(-1) ?? ""
        ];
        if (refusal !== null) {
          client.end(`HTTP/1.1 ${refusal ?? 407} CANARY\r\n\r\n`);
          return;
        }
        const target = connect(port, "127.0.0.1", () => {
          client.write("HTTP/1.1 200 OK\r\n\r\n");
          target.write(head);
          target.pipe(client).pipe(target);
        });
        for (const end of [client, target]) end.on("error", () => undefined);
      });
      proxy.listen(0, "127.0.0.1");
      await once(proxy, "listening");
    });
    afterAll(async () => {
      await sockets.close();
      proxy.close();
      await rm(folder, { recursive: true });
    });

    const url = () => `https://localhost:${(front.address() as AddressInfo).port}/`;
    const through = (user: string, given: NetworkTls) =>
      openNetwork(url(), {
        env: { HTTPS_PROXY: `http://${user}@127.0.0.1:${(proxy.address() as AddressInfo).port}` },
        tls: given,
        direct: fetch,
      });

    it("is reached by requests and by both sockets", async () => {
      const network = through("site:secret", tls);
      const response = await network.fetch(url());
      expect(await response.text()).toBe("hello");
      const signal = new AbortController().signal;
      const link = await connectLink(url(), "session", () => undefined, signal, network.sockets);
      link.close();
      await network.close();
      expect(connects).toEqual(["site:secret", "site:secret", "site:secret"]);
    });

    it("is reached without a proxy as well", async () => {
      const before = connects.length;
      const network = openNetwork(url(), { env: {}, tls, direct: fetch });
      expect(await (await network.fetch(url())).text()).toBe("hello");
      expect(connects).toHaveLength(before);
      await network.close();
    });

    it("says why it is not reached, in words of our own", async () => {
      const ways: [user: string, NetworkTls, code: string, detail: RegExp][] = [
        ["site:secret", { cert: tls.cert, key: tls.key }, "coordinator.untrusted", /nobody .* trusts/],
        // With TLS 1.3 the refusal and the end of the connection race: both name the certificate.
        ["site:secret", { ca: tls.ca }, "coordinator.un", /certificate/],
        ["site:CANARY", tls, "proxy.refused", /HTTP 407/],
        ["site:forbidden", tls, "proxy.refused", /HTTP 403/],
        ["site:lost", tls, "coordinator.unreachable", /HTTP 503 from the proxy/],
      ];
      for (const [user, given, code, detail] of ways) {
        const network = through(user, given);
        const asked = await failure(url(), network);
        expect(asked).toMatchObject({
          code: expect.stringContaining(code) as string,
          detail: expect.stringMatching(detail) as string,
        });
        expect(describeError(asked)).not.toContain("CANARY");
        const signal = AbortSignal.timeout(5_000);
        const socket = connectLink(url(), "session", () => undefined, signal, network.sockets);
        await expect(socket).rejects.toMatchObject({
          code: expect.stringMatching(/^coordinator\.un|^proxy/) as string,
        });
        await network.close();
      }
    });

    it("says that its name is another one", async () => {
      const network = openNetwork(url(), { env: {}, tls, direct: fetch });
      const other = url().replace("localhost", "127.0.0.1");
      expect(await failure(other, network)).toMatchObject({
        code: "coordinator.untrusted",
        detail: "(its certificate is for another name)",
      });
      await network.close();
    });

    it("tells TLS at the other port from none, and a proxy that is dead", async () => {
      const dead = await freePort();
      const direct = openNetwork(url(), { env: {}, tls: {}, direct: fetch });
      const proxyPort = (proxy.address() as AddressInfo).port;
      const cases: [url: string, Pick<Network, "fetch">, detail: RegExp][] = [
        [url().replace("https", "http"), direct, /want https/],
        [`https://127.0.0.1:${proxyPort}/`, direct, /no TLS at its port/],
        [`http://127.0.0.1:${dead}/`, direct, /nothing listens at its port/],
        [
          url(),
          openNetwork(url(), { env: { HTTPS_PROXY: `http://127.0.0.1:${dead}` }, tls, direct: fetch }),
          /nothing listens at the proxy's port/,
        ],
      ];
      for (const [at, network, detail] of cases)
        expect(await failure(at, network)).toMatchObject({
          code: "coordinator.unreachable",
          detail: expect.stringMatching(detail) as string,
        });
    });
  },
);

it("a name that is not found, a time that is over and a redirect have words as well", () => {
  const failed = (cause: object): Error => new TypeError("fetch failed CANARY", { cause });
  const named = Object.assign(new Error("getaddrinfo CANARY"), { code: "ENOTFOUND" });
  expect(connectionFailure(failed(named), false).detail).toBe("(its name is not found)");
  expect(connectionFailure(failed(named), true).detail).toBe("(the proxy's name is not found)");
  expect(connectionFailure(new DOMException("CANARY", "TimeoutError"), false).detail).toMatch(
    /no answer in time/,
  );
  expect(connectionFailure(failed(new Error("unexpected redirect")), false).detail).toMatch(
    /another address/,
  );
  expect(connectionFailure(failed(new Error("CANARY")), false).detail).toBeUndefined();
});

/** Why a call of a site through this network fails. */
async function failure(url: string, { fetch }: Pick<Network, "fetch">): Promise<unknown> {
  return httpClient(url, fetch)
    .read("api/none", z.unknown())
    .catch((error: unknown) => error);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
