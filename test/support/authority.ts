/** A private certificate authority of one test, by the openssl command. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

export const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

export interface Issued {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

export class Authority {
  readonly folder = mkdtempSync(path.join(tmpdir(), "consilium-authority-"));
  readonly caFile = path.join(this.folder, "ca.pem");
  readonly ca: string;

  constructor() {
    this.#openssl(
      "req",
      "-x509",
      ...NEW_KEY,
      "-days",
      "2",
      "-subj",
      "/CN=authority",
      "-keyout",
      "ca.key",
      "-out",
      "ca.pem",
    );
    this.ca = readFileSync(this.caFile, "utf8");
  }

  /** For 127.0.0.1, as a server and as a client. @param more lines of extensions */
  issue(name: string, more = ""): Issued {
    const [key, request, cert] = [`${name}.key`, `${name}.csr`, `${name}.pem`] as const;
    writeFileSync(path.join(this.folder, "names.ext"), `subjectAltName=IP:127.0.0.1\n${more}\n`);
    this.#openssl("req", "-new", ...NEW_KEY, "-subj", `/CN=${name}`, "-keyout", key, "-out", request);
    const signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    this.#openssl(
      "x509",
      "-req",
      "-in",
      request,
      ...signer,
      "-days",
      "30",
      "-extfile",
      "names.ext",
      "-out",
      cert,
    );
    const [certFile, keyFile] = [path.join(this.folder, cert), path.join(this.folder, key)];
    return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  }

  close(): void {
    rmSync(this.folder, { recursive: true });
  }

  #openssl(...args: readonly string[]): void {
    execFileSync("openssl", args, { cwd: this.folder, stdio: "ignore" });
  }
}
