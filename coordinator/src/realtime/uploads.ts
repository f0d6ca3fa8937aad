/**
 * Chunked uploads that survive cut connections and a restarted coordinator. A chunk is acknowledged once its bytes are on
 * disk and its row says so; a row that the loss of power takes back costs sending the chunk again. An upload is accepted once
 * it has been looked through, is durable under its hash and is counted, in this order.
 */
import { sha256 } from "@consilium/shared/canonical";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import type { RandomBytes } from "@consilium/shared/crypto/identity";
import { ConsiliumError, toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import type { FederationId, Sha256, SiteId, UploadId } from "@consilium/shared/ids";
import type { UploadBegin, UploadChunk, UploadOutcome } from "@consilium/shared/protocol/events";
import type { MaskingAnswer } from "@consilium/shared/protocol/masking";
import type { Logger } from "pino";
import type { Aggregator } from "../aggregation/tasks.ts";
import type { Blobs, Staged } from "../blobs/blobs.ts";
import type { Counted } from "../counted.ts";
import type { Federations } from "../federation/registry.ts";
import type { FederationService } from "../federation/service.ts";
import type { Session } from "../governance/sessions.ts";
import { isOwnFault } from "../faults.ts";
import type { Store, UploadRow } from "../store/store.ts";
import { LookAhead } from "./look-ahead.ts";
import { Room } from "./room.ts";
import { sameObject, sealedOf } from "./sealed.ts";

export interface UploadPorts {
  readonly store: Store;
  readonly blobs: Blobs;
  readonly aggregator: Aggregator;
  readonly federations: Federations;
  readonly random: RandomBytes;
  readonly counted: Pick<Counted, "resumed" | "committed">;
  readonly logger: Logger;
  /** The initial model's size is not known before it is here. */
  readonly maxGenesisBytes: number;
}

export type BegunUpload =
  | { readonly upload: UploadId; readonly chunkBytes: number; readonly have: string }
  | { readonly outcome: UploadOutcome };

/** An update with one of these can never be counted, so its round need not wait for it. */
const HOPELESS: ReadonlySet<ErrorCode> = new Set(["vector.not-finite", "manifest.mismatch", "frame.bad-tag"]);

interface ActiveUpload {
  readonly row: UploadRow;
  readonly staged: Staged;
  readonly have: Set<number>;
  /** The bytes are an object already: they were promoted to one before a crash, and only the row is missing. */
  readonly promoted: boolean;
  /** Chunks being written; a commit waits for them. */
  readonly writing: Map<number, Promise<void>>;
  readonly ahead: LookAhead | null;
  commit: Promise<UploadOutcome> | null;
}

export class Uploads {
  readonly #ports: UploadPorts;
  readonly #active = new Map<UploadId, Promise<ActiveUpload>>();
  /** A site's begin calls, one at a time: they look for an upload of the same object before making one. */
  readonly #beginning = new Map<string, Promise<unknown>>();
  readonly #room: Room;

  constructor(ports: UploadPorts) {
    this.#ports = ports;
    this.#room = new Room(ports.blobs);
  }

  /**
   * Starts or resumes.
   * @throws as FederationService.admit and admitGenesis, disk.full
   */
  begin(message: UploadBegin, session: Session): Promise<BegunUpload> {
    const site = `${session.federation}/${session.site}`;
    const result = (this.#beginning.get(site) ?? Promise.resolve()).then(() => this.#begin(message, session));
    const settled = result
      .catch(() => undefined)
      .finally(() => {
        if (this.#beginning.get(site) === settled) this.#beginning.delete(site);
      });
    this.#beginning.set(site, settled);
    return result;
  }

  async #begin({ object, chunkBytes }: UploadBegin, session: Session): Promise<BegunUpload> {
    const service = this.#ports.federations.get(session.federation);
    const verdict = await this.#admit(object, service, session);
    if (verdict === "stale") await tellLate(object, service, session.site);
    if (verdict !== "wanted") return { outcome: verdict };

    const own = await this.#ports.store.uploadsOf(session.federation, session.site);
    const mine = own.filter((row) => row.object.kind === object.kind);
    let row = mine.find((other) => sameObject(other.object, object));
    // One upload of a kind at a time: a site that trained again has no use for what it had begun.
    for (const other of mine) if (other !== row) await this.#remove(other.upload);
    if (row === undefined) {
      await this.#room.take(sealedOf(object).sealedBytes);
      row = {
        upload: Buffer.from(this.#ports.random(16)).toString("hex") as UploadId,
        federation: session.federation,
        site: session.site,
        object,
        sizeBytes: sealedOf(object).sealedBytes,
        chunkBytes,
      };
      await this.#ports.store.createUpload(row);
    } else this.#ports.counted.resumed();
    if (chunkBytes < row.chunkBytes) row = await this.#cutSmaller(row, chunkBytes);
    const { have, promoted } = await this.#activate(row);
    const total = chunkCount(row);
    const bitmap = promoted ? bitmapOf(Array.from({ length: total }).keys(), total) : bitmapOf(have, total);
    return { upload: row.upload, chunkBytes: row.chunkBytes, have: bitmap };
  }

  /** Idempotent. The bytes may be gone afterwards. @throws upload.unknown, upload.bad-chunk, disk.full */
  async chunk(
    { upload, seq, sha256: expected }: UploadChunk,
    bytes: Uint8Array,
    session: Session,
  ): Promise<void> {
    const active = await this.#find(upload, session);
    const { row, staged, have } = active;
    if (have.has(seq) || active.promoted) return;
    const wellFormed = seq < chunkCount(row) && bytes.length === chunkLength(row, seq);
    if (!wellFormed || sha256(bytes) !== expected) {
      throw new ConsiliumError("upload.bad-chunk", { culprits: [session.site] });
    }
    // What is written twice at once is written once: what has been looked at stays as it is.
    const writing = active.writing.get(seq);
    if (writing !== undefined) return writing;
    const written = staged
      .writeAt(seq * row.chunkBytes, bytes)
      .then(() => this.#ports.store.addChunk(upload, seq))
      .then(() => {
        have.add(seq);
        active.ahead?.arrived(have);
      });
    active.writing.set(seq, written);
    try {
      await written;
    } finally {
      active.writing.delete(seq);
    }
  }

  /**
   * @throws upload.unknown, upload.bad-chunk (some are missing), hash.mismatch, envelope.invalid, frame.bad-tag,
   * frame.wrong-length, manifest.mismatch, vector.not-finite, disk.full
   */
  async commit(upload: UploadId, session: Session): Promise<UploadOutcome> {
    const active = await this.#find(upload, session);
    active.commit ??= this.#timed(active, session).finally(() => {
      active.commit = null;
    });
    return active.commit;
  }

  /** What another coordinator goes on with. */
  forget(federation: FederationId): void {
    for (const [upload, active] of this.#active) {
      // One that cannot be opened is not kept anyway.
      const forgotten = active.then(({ row }) => {
        if (row.federation === federation) this.#active.delete(upload);
      });
      forgotten.catch(() => undefined);
    }
  }

  /** Forgets uploads of rounds that are over, and bytes without a row. */
  async sweep(): Promise<{ readonly kept: number; readonly removed: number; readonly strays: number }> {
    const { store, blobs, federations } = this.#ports;
    // Before the rows: an upload has its row before its first byte, also at another coordinator.
    const staged = await blobs.staged();
    const rows = await store.uploads();
    const counts = { kept: rows.length, removed: 0, strays: 0 };
    for (const row of rows) {
      if (!federations.has(row.federation)) continue;
      const service = federations.get(row.federation);
      if (await this.#mayGoOn(row, service)) continue;
      await this.#remove(row.upload);
      counts.removed += 1;
      counts.kept -= 1;
    }
    const known = new Set(rows.map((row) => row.upload));
    for (const upload of staged) {
      if (known.has(upload) || this.#active.has(upload)) continue;
      await (await blobs.stage(upload)).discard();
      counts.strays += 1;
    }
    return counts;
  }

  async #admit(
    object: UploadBegin["object"],
    service: FederationService,
    { site }: Pick<Session, "site">,
  ): Promise<UploadOutcome | "wanted"> {
    if (object.kind === "contribution") return service.admit(object.header, site);
    if (object.kind === "masked") return service.admitAnswer(site, answerOf(object));
    if (object.sealedBytes > this.#ports.maxGenesisBytes) {
      throw new ConsiliumError("upload.too-large", { culprits: [site] });
    }
    return service.admitGenesis(site, object.sha256);
  }

  /** A link that has become slow wants smaller chunks; what is here already stays. */
  async #cutSmaller(row: UploadRow, chunkBytes: number): Promise<UploadRow> {
    const parts = row.chunkBytes / chunkBytes;
    const { have, writing, commit, ahead } = await this.#activate(row);
    await ahead?.end();
    if (!Number.isInteger(parts) || writing.size > 0 || commit !== null) return row;
    const { store } = this.#ports;
    const smaller = { ...row, chunkBytes };
    this.#active.delete(row.upload);
    const total = chunkCount(smaller);
    const pieces = [...have].flatMap((seq) => Array.from({ length: parts }, (_, i) => seq * parts + i));
    const here = pieces.filter((seq) => seq < total);
    await store.recutUpload(smaller, here);
    return smaller;
  }

  async #mayGoOn(row: UploadRow, service: FederationService): Promise<boolean> {
    // Right after a restart no site is connected yet that could be asked for the initial model.
    if (row.object.kind === "genesis") return service.lacksGenesis;
    return (await this.#admit(row.object, service, row).catch(() => "stale")) === "wanted";
  }

  async #timed(active: ActiveUpload, session: Session): Promise<UploadOutcome> {
    const startedMs = performance.now();
    let outcome: UploadOutcome | "refused" = "refused";
    try {
      outcome = await this.#commit(active, session);
      return outcome;
    } finally {
      this.#ports.counted.committed(active.row.object.kind, outcome, performance.now() - startedMs);
    }
  }

  async #commit(active: ActiveUpload, session: Session): Promise<UploadOutcome> {
    const { row, staged, have } = active;
    const { aggregator, federations } = this.#ports;
    await Promise.all(active.writing.values());
    await active.ahead?.end();
    const service = federations.get(row.federation);
    if (!active.promoted && have.size !== chunkCount(row)) {
      throw new ConsiliumError("upload.bad-chunk", { detail: "(some are missing)", culprits: [row.site] });
    }
    const { object } = row;
    // An object of this name may be anybody's, so it is looked through as well.
    const arrivedAs = active.promoted ? null : row.upload;
    let outcome: UploadOutcome;
    try {
      if (object.kind === "genesis") {
        const { federation, site, upload } = row;
        const { sha256: frame, sealedSha256 } = object;
        await aggregator.openGenesis({ federation, site, upload, sealedSha256, sha256: frame });
        outcome = await service.acceptGenesis(object.sha256);
      } else if (object.kind === "masked") {
        const { sha256: name } = object.masked.body;
        const { attempt, layout } = (await service.maskedRound(object)).terms;
        await aggregator.checkMasked({ attempt, layout, upload: arrivedAs, sha256: name });
        if (!active.promoted) await staged.promote(name);
        outcome = await service.answer(row.site, answerOf(object));
        if (outcome === "stale") await this.#discard(active, name);
      } else {
        const { body } = object.header;
        const { training } = service.plan.body;
        await aggregator.checkUpdate({ ...body, training }, arrivedAs, body.sealedSha256);
        if (!active.promoted) await staged.promote(body.sealedSha256);
        outcome = await service.contribute(object.header);
        if (outcome === "stale") await this.#discard(active, body.sealedSha256);
      }
    } catch (error) {
      await this.#refuse(row, service, error);
      throw error;
    }
    await this.#remove(row.upload);
    if (outcome === "stale") await tellLate(object, service, row.site);
    this.#ports.logger.debug({ site: session.site, outcome, sizeBytes: row.sizeBytes }, "upload committed");
    return outcome;
  }

  /** An object that was there before this run is left to the next start, which knows whether anybody needs it. */
  async #discard({ promoted }: ActiveUpload, name: Sha256): Promise<void> {
    if (!promoted) await this.#ports.blobs.remove(name);
  }

  /** What was looked at and found wrong is not kept; what failed for a reason of this machine is. */
  async #refuse(row: UploadRow, service: FederationService, error: unknown): Promise<void> {
    const { code } = toConsiliumError(error);
    if (isOwnFault(code)) return;
    this.#ports.logger.warn({ federation: row.federation, site: row.site, code }, "upload refused");
    await this.#remove(row.upload);
    const { object, site } = row;
    if (object.kind === "genesis" || !HOPELESS.has(code)) return;
    const { round, attempt } = object.kind === "masked" ? object : object.header.body;
    await service.refuse({ round, attempt, site }, code);
  }

  /** Only the site that began it may go on with it. */
  async #find(upload: UploadId, session: Session): Promise<ActiveUpload> {
    const active = await (this.#active.get(upload) ?? this.#load(upload));
    if (active?.row.site !== session.site || active.row.federation !== session.federation) {
      throw new ConsiliumError("upload.unknown", { culprits: [session.site] });
    }
    return active;
  }

  async #load(upload: UploadId): Promise<ActiveUpload | null> {
    const row = await this.#ports.store.upload(upload);
    return row === null ? null : this.#activate(row);
  }

  #activate(row: UploadRow): Promise<ActiveUpload> {
    const known = this.#active.get(row.upload);
    if (known !== undefined) return known;
    const opened = this.#open(row);
    this.#active.set(row.upload, opened);
    opened.catch(() => this.#active.delete(row.upload));
    return opened;
  }

  async #open(row: UploadRow): Promise<ActiveUpload> {
    const { store, blobs } = this.#ports;
    const staged = await blobs.stage(row.upload);
    // Side by side: where many sites begin at once, each of these waits for its turn at the disk.
    const [blobBytes, size, rows] = await Promise.all([
      blobs.sizeOf(sealedOf(row.object).sealedSha256),
      staged.sizeBytes(),
      store.chunks(row.upload),
    ]);
    const promoted = blobBytes === row.sizeBytes;
    // Rows of chunks whose bytes a damaged disk has lost do not count.
    const have = rows.filter((seq) => seq * row.chunkBytes + chunkLength(row, seq) <= size);
    return {
      row,
      staged,
      have: new Set(have),
      promoted,
      writing: new Map(),
      ahead: this.#lookAhead(row, staged),
      commit: null,
    };
  }

  /** Of a masked vector nothing is known before its hash is. */
  #lookAhead(row: UploadRow, staged: Staged): LookAhead | null {
    const { object, federation, upload } = row;
    if (object.kind !== "contribution" || staged.scanPart === undefined) return null;
    const { training } = this.#ports.federations.get(federation).plan.body;
    const job = { ...object.header.body, training };
    return new LookAhead(row, (bytes) => this.#ports.aggregator.lookAhead(job, upload, bytes));
  }

  async #remove(upload: UploadId): Promise<void> {
    const active = this.#active.get(upload);
    this.#active.delete(upload);
    const staged = (await active)?.staged ?? (await this.#ports.blobs.stage(upload));
    // Bytes without a row are swept; a row without bytes has no chunks.
    await Promise.all([this.#ports.store.removeUpload(upload), staged.discard()]);
  }
}

async function tellLate(
  object: UploadBegin["object"],
  service: FederationService,
  site: SiteId,
): Promise<void> {
  if (object.kind !== "genesis")
    await service.late(site, object.kind === "masked" ? object : object.header.body);
}

/** A masked vector is its site's message in the step `mask`. */
const answerOf = ({
  round,
  attempt,
  masked,
}: Extract<UploadBegin["object"], { kind: "masked" }>): MaskingAnswer => ({
  round,
  attempt,
  message: { step: "mask", masked },
});

function chunkCount({ sizeBytes, chunkBytes }: UploadRow): number {
  return Math.ceil(sizeBytes / chunkBytes);
}

function chunkLength({ sizeBytes, chunkBytes }: UploadRow, seq: number): number {
  return Math.min(chunkBytes, sizeBytes - seq * chunkBytes);
}

/** Bit i of byte floor(i / 8), least significant first, as base64url. */
function bitmapOf(have: Iterable<number>, total: number): string {
  const bytes = new Uint8Array(Math.ceil(total / 8));
  for (const seq of have) bytes[seq >> 3] = (bytes[seq >> 3] ?? 0) | (1 << (seq & 7));
  return toBase64Url(bytes);
}
