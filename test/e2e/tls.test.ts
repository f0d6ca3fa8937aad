/** The coordinator's own TLS, with certificates of a private authority on both sides, and real agents. */
import { copyFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { prepareCoordinator } from "../../coordinator/src/app.ts";
import { systemClock } from "../../coordinator/src/clock.ts";
import { endOf, readTls } from "../../coordinator/src/tls.ts";
import { httpClient } from "../../site-agent/src/federation/http.ts";
import { openNetwork, type NetworkTls } from "../../site-agent/src/federation/network.ts";
import { challengeReplySchema } from "@consilium/shared/protocol/http";
import { Authority, hasOpenssl, type Issued } from "../support/authority.ts";
import { arithmeticTrainer, TestFederation } from "../support/federation.ts";

describe.skipIf(!hasOpenssl)(
  "a coordinator that speaks TLS (skipped where there is no openssl command)",
  () => {
    let authority: Authority;
    let first: Issued;
    let renewed: Issued;
    let hospital: Issued;
    /** What the coordinator was told to read; renewal writes over them. */
    let files: { readonly tlsCert: string; readonly tlsKey: string; readonly tlsClientCa: string };
    let federation: TestFederation;

    beforeAll(async () => {
      authority = new Authority();
      first = authority.issue("first");
      renewed = authority.issue("renewed");
      hospital = authority.issue("hospital");
      const file = (name: string) => path.join(authority.folder, name);
      files = { tlsCert: file("server.pem"), tlsKey: file("server.key"), tlsClientCa: authority.caFile };
      copyFileSync(first.certFile, files.tlsCert);
      copyFileSync(first.keyFile, files.tlsKey);
      federation = await TestFederation.start({ rounds: 3, minSites: 2 }, files);
    });
    afterAll(async () => {
      await federation.close();
      authority.close();
    });

    const own = (): NetworkTls => ({ ca: authority.ca, cert: hospital.cert, key: hospital.key });

    /** The name in the certificate that a new connection is shown. */
    const shownName = () =>
      new Promise<unknown>((resolve, reject) => {
        const { ca, cert, key } = own() as Required<NetworkTls>;
        const socket = connect({ port: federation.port, host: "127.0.0.1", ca, cert, key }, () => {
          resolve(socket.getPeerCertificate().subject.CN);
          socket.destroy();
        });
        socket.on("error", reject);
      });

    it("trains with sites that show certificates, and takes a renewed one up in the middle of a round", async () => {
      expect(federation.coordinator.url).toMatch(/^https:\/\/127\.0\.0\.1:/);
      const sites = await Promise.all(
        ["north", "south"].map((name) => federation.site(name, undefined, undefined, own())),
      );
      let isRenewed: () => void = () => undefined;
      const renewal = new Promise<void>((resolve) => (isRenewed = resolve));
      const runs = sites.map((site) => site.run(arithmeticTrainer(1e-3, 1000, () => renewal)));
      await Promise.all(runs.map((run) => run.waitFor(({ phase }) => phase === "training")));
      const { certificates } = federation.coordinator;
      expect(await shownName()).toBe("first");
      expect(await certificates?.reload()).toBe(false);
      // Half a renewal changes nothing.
      copyFileSync(renewed.certFile, files.tlsCert);
      expect(await certificates?.reload()).toBe(false);
      expect(await shownName()).toBe("first");
      copyFileSync(renewed.keyFile, files.tlsKey);
      expect(await certificates?.reload()).toBe(true);
      expect(await shownName()).toBe("renewed");
      isRenewed();
      for (const { result, reports } of runs) {
        expect(await result).toMatchObject({ rounds: 3, contributions: 3 });
        // Nobody's connection was dropped.
        expect(reports.filter(({ phase }) => phase === "connecting").length).toBeLessThanOrEqual(1);
      }
    });

    it.each<[string, () => NetworkTls]>([
      ["shows no certificate", () => ({ ca: authority.ca })],
      ["does not know the authority", () => ({ cert: hospital.cert, key: hospital.key })],
    ])("is out of reach of whoever %s", async (_who, tls) => {
      const { url } = federation.coordinator;
      const network = openNetwork(url, { env: {}, tls: tls(), direct: fetch });
      const asked = { federation: "lungs", site: "north" };
      await expect(
        httpClient(`${url}/`, network.fetch).post("api/challenges", asked, challengeReplySchema),
      ).rejects.toMatchObject({ code: expect.stringMatching(/^coordinator\.un/) as string });
      await network.close();
    });

    it("refuses files that cannot be used, by name and without a path", async () => {
      const file = path.join(authority.folder, "CANARY.pem");
      writeFileSync(file, "no PEM");
      const fit = { tlsCert: first.certFile, tlsKey: first.keyFile, tlsClientCa: null };
      const wrong = [
        [{ ...fit, tlsCert: `${file}.missing` }, "tls.unusable", ["tlsCert"]],
        [{ ...fit, tlsCert: file }, "tls.unusable", ["tlsCert"]],
        [{ ...fit, tlsKey: file }, "tls.unusable", ["tlsKey"]],
        [{ ...fit, tlsKey: renewed.keyFile }, "tls.unusable", ["tlsCert", "tlsKey"]],
        [{ ...fit, tlsClientCa: hospital.certFile }, "tls.unusable", ["tlsClientCa"]],
        [{ ...fit, tlsKey: null }, "config.invalid", ["tlsCert", "tlsKey"]],
      ] as const;
      for (const [given, code, culprits] of wrong) {
        const refused = readTls(given);
        await expect(refused).rejects.toMatchObject({ code, culprits });
        await expect(refused).rejects.not.toThrow("CANARY");
      }
      expect(await readTls({ tlsCert: null, tlsKey: null, tlsClientCa: null })).toBeNull();
    });

    it("is none of several, unless they can show each other what sites have to show", async () => {
      const foreign = new Authority();
      const { certFile: tlsCert, keyFile: tlsKey } = foreign.issue("coordinator");
      foreign.issue("server", "extendedKeyUsage=serverAuth");
      const file = (name: string) => path.join(foreign.folder, name);
      const own = { tlsCert, tlsKey, tlsClientCa: foreign.caFile };
      const forServers = { ...own, tlsCert: file("server.pem"), tlsKey: file("server.key") };
      const home = path.join(foreign.folder, "home");
      const refusedAs = (settings: object) =>
        expect(prepareCoordinator({ home, database: "postgres://127.0.0.1:1/none", ...settings })).rejects;
      const unusable = { code: "tls.unusable", culprits: ["tlsCert", "tlsClientCa"] };
      await refusedAs({ ...own, tlsClientCa: authority.caFile }).toMatchObject(unusable);
      await refusedAs(forServers).toMatchObject(unusable);
      const unsafe = { code: "config.invalid", culprits: ["advertise"] };
      await refusedAs({ ...own, advertise: "http://127.0.0.1:1" }).toMatchObject(unsafe);
      // So far it is right; there is no database.
      await refusedAs({ ...own, advertise: "https://127.0.0.1:1" }).toMatchObject({
        code: "store.unreachable",
      });
      foreign.close();
    });

    it("says before it is too late that the certificate ends", () => {
      const material = federation.coordinator.certificates?.material ?? { expiresAtMs: NaN };
      const dayMs = 24 * 3600_000;
      expect(endOf(material, systemClock.now())).toBeNull();
      expect(endOf(material, material.expiresAtMs - 3.5 * dayMs)).toContain("expires in 3 days");
      expect(endOf(material, material.expiresAtMs + 1)).toContain("has expired");
    });
  },
);
