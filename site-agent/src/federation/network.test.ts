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
import { openNetwork, proxyFor, type NetworkTls } from "./network.ts";
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
        if (connects.at(-1) !== "site:secret") {
          client.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
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

    it("is not reached without the authority, the certificate or the password", async () => {
      const ways: [string, NetworkTls][] = [
        ["site:secret", { cert: tls.cert, key: tls.key }],
        ["site:secret", { ca: tls.ca }],
        ["site:wrong", tls],
      ];
      for (const [user, given] of ways) {
        const network = through(user, given);
        await expect(network.fetch(url()).then((response) => response.text())).rejects.toThrow();
        const signal = AbortSignal.timeout(5_000);
        await expect(
          connectLink(url(), "session", () => undefined, signal, network.sockets),
        ).rejects.toMatchObject({ code: "coordinator.unreachable" });
        await network.close();
      }
    });
  },
);
