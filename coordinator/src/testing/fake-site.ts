/** A site for tests: real protocol and sockets, random updates instead of training. */
import { randomBytes } from "node:crypto";
import { sha256 } from "@consilium/shared/canonical";
import { encodeUpdate } from "@consilium/shared/codec";
import { seal } from "@consilium/shared/crypto/envelope";
import { createIdentity, sign, verify, type Identity } from "@consilium/shared/crypto/identity";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import type { Signed } from "@consilium/shared/crypto/signed";
import { ConsiliumError, ERRORS, type ErrorCode } from "@consilium/shared/errors";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import { manifestHash, vectorLength, type Manifest } from "@consilium/shared/manifest";
import { planHash } from "@consilium/shared/plan";
import {
  BULK_NAMESPACE,
  CONTROL_NAMESPACE,
  type FederationPosition,
  type Reply,
  type UploadBegin,
  type UploadOutcome,
} from "@consilium/shared/protocol/events";
import {
  challengeReplySchema,
  enrolmentReplySchema,
  errorBodySchema,
  sessionReplySchema,
  type EnrolmentReply,
} from "@consilium/shared/protocol/http";
import type { ContributionHeader, RoundOpening } from "@consilium/shared/protocol/round";
import { parseToken } from "@consilium/shared/protocol/token";
import { PROTOCOL_VERSION } from "@consilium/shared/protocol/version";
import { io, type Socket } from "socket.io-client";
import type { z } from "zod";

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

export interface FakeModel {
  readonly manifest: Manifest;
  /** The initial model's checkpoint frame. */
  readonly genesis: Uint8Array;
}

export interface SealedContribution {
  readonly header: Signed<ContributionHeader>;
  readonly sealed: Uint8Array;
}

type Opened = { readonly upload: string; readonly chunkBytes: number; readonly have: string };

export class FakeSite {
  readonly site: SiteId;
  readonly identity: Identity = createIdentity(random);
  readonly examples: number;
  readonly model: FakeModel;
  url: string;
  enrolment: EnrolmentReply | null = null;
  session = "";
  control: Socket | null = null;
  bulk: Socket | null = null;
  /** As pushed, in order. */
  readonly positions: FederationPosition[] = [];
  #wake: () => void = () => undefined;

  constructor(site: string, url: string, model: FakeModel, examples = 10) {
    this.site = site as SiteId;
    this.url = url;
    this.model = model;
    this.examples = examples;
  }

  async post<T extends z.ZodType>(schema: T, path: string, body: object): Promise<z.infer<T>> {
    const response = await fetch(this.url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const value: unknown = await response.json();
    if (!response.ok) throw remoteError(errorBodySchema.parse(value));
    return schema.parse(value);
  }

  async enrol(token: string): Promise<void> {
    const { federation, site, secret } = parseToken(token);
    const request = { federation, site, identity: this.identity.public, tokenSecret: secret };
    const signed = sign("enrolment", request, this.identity);
    this.enrolment = await this.post(enrolmentReplySchema, "/api/enrolments", signed);
  }

  get #federation() {
    if (this.enrolment === null) throw new Error("not enrolled");
    return this.enrolment;
  }

  async openSession(): Promise<void> {
    const { federation, coordinator } = this.#federation;
    const { site } = this;
    const { challenge } = await this.post(challengeReplySchema, "/api/challenges", { federation, site });
    const siteNonce = toBase64Url(random(32));
    const request = sign("session", { federation, site, challenge, siteNonce }, this.identity);
    const { session, proof } = await this.post(sessionReplySchema, "/api/sessions", request);
    if (verify("coordinator-proof", proof, coordinator).siteNonce !== siteNonce) {
      throw new ConsiliumError("auth.failed");
    }
    this.session = session;
  }

  /** A session, two sockets and hello. */
  async connect(genesis = sha256(this.model.genesis)): Promise<FederationPosition> {
    await this.openSession();
    this.control = await openSocket(this.url + CONTROL_NAMESPACE, this.session);
    this.bulk = await openSocket(this.url + BULK_NAMESPACE, this.session);
    this.control.on("position", (position: FederationPosition) => {
      this.positions.push(position);
      this.#wake();
    });
    const { position } = await this.hello(genesis);
    this.positions.push(position);
    return position;
  }

  hello(genesis: Sha256): Promise<{ position: FederationPosition }> {
    return this.ask(this.control, "hello", {
      protocol: PROTOCOL_VERSION,
      software: "fake",
      planHash: planHash(this.#federation.plan.body),
      genesis,
      // A masked federation is not told.
      examples: this.#federation.plan.body.aggregation.secure === "masked" ? null : this.examples,
    });
  }

  /** One request over a socket. @throws what the coordinator answered with */
  async ask<T extends object>(socket: Socket | null, event: string, ...parts: unknown[]): Promise<T> {
    if (socket === null) throw new Error("not connected");
    const reply = (await socket.timeout(10_000).emitWithAck(event, ...parts)) as Reply<T>;
    if (!reply.ok) throw remoteError(reply.error);
    return reply;
  }

  /** Waits for the newest position to be like this. */
  async waitFor<P extends FederationPosition>(
    matches: (position: FederationPosition) => position is P,
  ): Promise<P>;
  async waitFor(matches: (position: FederationPosition) => boolean): Promise<FederationPosition>;
  async waitFor(matches: (position: FederationPosition) => boolean): Promise<FederationPosition> {
    for (;;) {
      const last = this.positions.at(-1);
      if (last !== undefined && matches(last)) return last;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async uploadGenesis(): Promise<UploadOutcome> {
    const { federation, coordinator } = this.#federation;
    const context = { kind: "genesis", federation, round: 0, attempt: 0, site: this.site };
    const sealed = seal(this.model.genesis, { reader: coordinator, context, random });
    const object = {
      kind: "genesis" as const,
      sha256: sha256(this.model.genesis),
      sealedSha256: sha256(sealed),
      sealedBytes: sealed.length,
    };
    return this.upload(object, sealed);
  }

  contribution(
    opening: RoundOpening,
    update: Float32Array,
    change: { readonly frame?: Uint8Array; readonly header?: Partial<ContributionHeader> } = {},
  ): SealedContribution {
    const { federation, coordinator } = this.#federation;
    const { round, attempt, base, planHash: plan } = opening;
    const { site } = this;
    const frame = change.frame ?? encodeUpdate(this.model.manifest, update);
    const context = { kind: "update", federation, round, attempt, site };
    const sealed = seal(frame, { reader: coordinator, context, random });
    const header: ContributionHeader = {
      federation,
      site,
      round,
      attempt,
      base,
      planHash: plan,
      manifestHash: manifestHash(this.model.manifest),
      examples: this.examples,
      metrics: { loss: 1 / round, finalLoss: 0.9 / round, steps: 3, updateNorm: 1, trainingMs: 5 },
      sealedSha256: sha256(sealed),
      sealedBytes: sealed.length,
      ...change.header,
    };
    return { header: sign("contribution", header, this.identity), sealed };
  }

  async contribute({ header, sealed }: SealedContribution, chunkBytes = 1024): Promise<UploadOutcome> {
    return this.upload({ kind: "contribution", header }, sealed, chunkBytes);
  }

  async upload(
    object: UploadBegin["object"],
    bytes: Uint8Array,
    chunkBytes = 64 * 1024,
  ): Promise<UploadOutcome> {
    const begun = await this.begin(object, chunkBytes);
    if ("outcome" in begun) return begun.outcome;
    const have = Buffer.from(begun.have, "base64url");
    for (let seq = 0; seq * begun.chunkBytes < bytes.length; seq++) {
      if (((have[seq >> 3] ?? 0) & (1 << (seq & 7))) === 0) await this.sendChunk(begun, bytes, seq);
    }
    return this.commit(begun.upload);
  }

  begin(object: UploadBegin["object"], chunkBytes: number): Promise<Opened | { outcome: UploadOutcome }> {
    return this.ask(this.bulk, "upload.begin", { object, chunkBytes });
  }

  async sendChunk({ upload, chunkBytes }: Opened, bytes: Uint8Array, seq: number): Promise<void> {
    const chunk = bytes.slice(seq * chunkBytes, (seq + 1) * chunkBytes);
    await this.ask(this.bulk, "upload.chunk", { upload, seq, sha256: sha256(chunk) }, chunk);
  }

  async commit(upload: string): Promise<UploadOutcome> {
    const { outcome } = await this.ask<{ outcome: UploadOutcome }>(this.bulk, "upload.commit", { upload });
    return outcome;
  }

  download(hash: Sha256, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.url}/api/blobs/${hash}`, {
      headers: { authorization: `Bearer ${this.session}`, ...headers },
    });
  }

  disconnect(): void {
    this.control?.disconnect();
    this.bulk?.disconnect();
    this.positions.length = 0;
  }

  randomUpdate(next: () => number): Float32Array {
    return Float32Array.from({ length: vectorLength(this.model.manifest) }, () => next() - 0.5);
  }
}

export function openSocket(url: string, session: string): Promise<Socket> {
  const socket = io(url, {
    transports: ["websocket"],
    reconnection: false,
    forceNew: true,
    extraHeaders: session === "" ? {} : { authorization: `Bearer ${session}` },
  });
  return new Promise((resolve, reject) => {
    socket.on("connect", () => {
      resolve(socket);
    });
    socket.on("connect_error", (error) => {
      socket.disconnect();
      reject(error);
    });
  });
}

export const isOpen =
  (round: number, attempt = 1) =>
  (position: FederationPosition): position is Extract<FederationPosition, { phase: "open" }> =>
    position.phase === "open" &&
    position.opening.body.round === round &&
    position.opening.body.attempt === attempt;

function remoteError({ code, culprits }: z.infer<typeof errorBodySchema>): ConsiliumError {
  return new ConsiliumError(code in ERRORS ? (code as ErrorCode) : "internal", { culprits });
}
