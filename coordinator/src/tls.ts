/**
 * The coordinator's own TLS: certificate and key from files, clients' certificates from an authority of the federation's
 * where one is given, and renewed files taken up without a connection being dropped.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import type { Logger } from "pino";
import type { Clock } from "./clock.ts";
import type { ServeConfig } from "./config.ts";

/** PEM, read and found to fit together. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  /** Signs the certificates that clients have to show; null where they need none. */
  readonly clientCa: string | null;
  readonly expiresAtMs: number;
}

type TlsFiles = Pick<ServeConfig, "tlsCert" | "tlsKey" | "tlsClientCa">;

const LOOK_EVERY_MS = 60_000;
const DAY_MS = 24 * 3600_000;
/** How long before its end a certificate is worth a warning. */
const SOON_MS = 14 * DAY_MS;

/** Null where TLS is not asked for. @throws tls.unusable, config.invalid */
export async function readTls(files: TlsFiles): Promise<TlsMaterial | null> {
  const { tlsCert, tlsKey, tlsClientCa } = files;
  if (tlsCert === null && tlsKey === null && tlsClientCa === null) return null;
  if (tlsCert === null || tlsKey === null) {
    const detail = "(--tls-cert and --tls-key belong together; --tls-client-ca needs both)";
    throw new ConsiliumError("config.invalid", { detail, culprits: ["tlsCert", "tlsKey"] });
  }
  const cert = await read(tlsCert, "tlsCert");
  const key = await read(tlsKey, "tlsKey");
  const clientCa = tlsClientCa === null ? null : await read(tlsClientCa, "tlsClientCa");
  const leaf = certificate(cert, "tlsCert");
  if (!leaf.checkPrivateKey(privateKey(key))) {
    throw unusable("the key is not the certificate's", ["tlsCert", "tlsKey"]);
  }
  if (clientCa !== null && !certificate(clientCa, "tlsClientCa").ca) {
    throw unusable("the certificate for clients is no authority's", ["tlsClientCa"]);
  }
  const material = { cert, key, clientCa, expiresAtMs: Date.parse(leaf.validTo) };
  try {
    createSecureContext(contextOf(material));
  } catch (cause) {
    throw unusable("OpenSSL does not accept them", ["tlsCert", "tlsKey"], cause);
  }
  return material;
}

/** For `tls.createServer` and `setSecureContext`. */
export const contextOf = ({ cert, key, clientCa }: TlsMaterial) => ({
  cert,
  key,
  ...(clientCa === null ? {} : { ca: clientCa }),
});

export interface CertificatePorts {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The certificate in use, and the files that it is renewed from. */
export class Certificates {
  readonly #files: TlsFiles;
  readonly #ports: CertificatePorts;
  readonly #onRenewed: ((material: TlsMaterial) => void)[] = [];
  #material: TlsMaterial;
  #cancel: () => void = () => undefined;

  private constructor(files: TlsFiles, ports: CertificatePorts, material: TlsMaterial) {
    this.#files = files;
    this.#ports = ports;
    this.#material = material;
    this.#warnOfEnd();
    this.#look();
  }

  /** Null where TLS is not asked for. @throws tls.unusable, config.invalid */
  static async open(files: TlsFiles, ports: CertificatePorts): Promise<Certificates | null> {
    const material = await readTls(files);
    return material === null ? null : new Certificates(files, ports, material);
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  onRenewed(take: (material: TlsMaterial) => void): void {
    this.#onRenewed.push(take);
  }

  /**
   * Takes up what the files hold now; what is in use stays if they do not fit together, as in the middle of a renewal.
   * @returns whether anything is new
   */
  async reload(): Promise<boolean> {
    const { logger } = this.#ports;
    try {
      const material = await readTls(this.#files);
      if (material === null || isSame(material, this.#material)) return false;
      this.#material = material;
      for (const take of this.#onRenewed) take(material);
      logger.info({ expiresAt: new Date(material.expiresAtMs).toISOString() }, "TLS certificate renewed");
      this.#warnOfEnd();
      return true;
    } catch (error) {
      const { code, detail, culprits } = toConsiliumError(error);
      logger.warn({ code, detail, culprits }, "TLS certificate not renewed; the one before stays in use");
      return false;
    }
  }

  close(): void {
    this.#cancel();
  }

  #look(): void {
    this.#cancel = this.#ports.clock.after(LOOK_EVERY_MS, () => {
      this.#look();
      void this.reload();
    });
  }

  #warnOfEnd(): void {
    const warning = endOf(this.#material, this.#ports.clock.now());
    if (warning !== null) this.#ports.logger.warn({ code: "tls.expiring" }, warning);
  }
}

/** A sentence for people when the certificate has ended or soon will; null before. */
export function endOf({ expiresAtMs }: Pick<TlsMaterial, "expiresAtMs">, nowMs: number): string | null {
  const leftMs = expiresAtMs - nowMs;
  if (leftMs > SOON_MS) return null;
  return leftMs <= 0
    ? "The TLS certificate has expired, and no site will accept it: put a renewed one in its place."
    : `The TLS certificate expires in ${Math.floor(leftMs / DAY_MS)} days: put a renewed one in its place.`;
}

const isSame = (a: TlsMaterial, b: TlsMaterial): boolean =>
  a.cert === b.cert && a.key === b.key && a.clientCa === b.clientCa;

async function read(file: string, name: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw unusable("a file cannot be read", [name], cause);
  }
}

function certificate(pem: string, name: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw unusable("a file holds no certificate in PEM form", [name], cause);
  }
}

function privateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw unusable("the key is not in PEM form, or is encrypted", ["tlsKey"], cause);
  }
}

const unusable = (detail: string, culprits: readonly string[], cause?: unknown): ConsiliumError =>
  new ConsiliumError("tls.unusable", { detail: `(${detail})`, culprits, cause });
