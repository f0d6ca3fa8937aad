/**
 * Bulk envelope: an object sealed for one reader, in chunks, so that neither side needs all of it twice.
 *
 *     0   4  magic "CSLE"
 *     4   1  version, 1; three zero bytes
 *     8  32  ephemeral X25519 public key
 *    40   4  nonce prefix
 *    44   4  chunk length C of the plaintext, little-endian
 *    48   8  plaintext length, little-endian
 *    56      chunks: AES-256-GCM ciphertext and 16 bytes of tag each; all but the last hold C bytes
 *
 * key = HKDF-SHA256(X25519(ephemeral, reader), salt = ephemeral || reader, info = "consilium/1 envelope").
 * Nonce = prefix || big-endian 64-bit counter. Associated data = header || context || {seq, total, final}, so that
 * reordering, cutting, extending, replaying in another round and changing the header all fail.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import nacl from "tweetnacl";
import { canonicalJson, type Json } from "../canonical.ts";
import { ConsiliumError } from "../errors.ts";
import { giveBack } from "../give-back.ts";
import { lend, takeBack } from "../lent-memory.ts";
import { fromBase64Url } from "./encoding.ts";
import type { Identity, RandomBytes } from "./identity.ts";
import type { PublicIdentity } from "./signed.ts";
import { x25519, type KeyPair } from "./x25519.ts";

const MAGIC = "CSLE";
const VERSION = 1;
const TAG_BYTES = 16;
export const ENVELOPE_HEADER_BYTES = 56;
const DEFAULT_CHUNK_BYTES = 1024 * 1024;
const MAX_CHUNK_BYTES = 16 * 1024 * 1024;
/** Deciphered at a time: so little that its memory comes from the allocator and not from the system. */
const OPENED_BYTES = 64 * 1024;

/** What the sealed object is and where it belongs; both sides know it without being told. */
export interface EnvelopeContext {
  readonly kind: string;
  readonly federation: string;
  readonly round: number;
  readonly attempt: number;
  readonly site: string;
}

/** Size of the sealed form of `plaintextBytes` bytes. */
export function sealedBytes(plaintextBytes: number, chunkBytes = DEFAULT_CHUNK_BYTES): number {
  return ENVELOPE_HEADER_BYTES + plaintextBytes + TAG_BYTES * chunkCount(plaintextBytes, chunkBytes);
}

/** Of an object in chunks of the usual length whose first `arrivedBytes` bytes are here: bytes of the plaintext that can be opened. */
export function openableBytes(arrivedBytes: number): number {
  const chunks = Math.floor((arrivedBytes - ENVELOPE_HEADER_BYTES) / (DEFAULT_CHUNK_BYTES + TAG_BYTES));
  return Math.max(0, chunks) * DEFAULT_CHUNK_BYTES;
}

export interface SealOptions {
  readonly reader: PublicIdentity;
  readonly context: EnvelopeContext;
  readonly random: RandomBytes;
  /** For tests of the chunk borders. */
  readonly chunkBytes?: number;
}

/** @throws crypto.weak-key */
export function seal(plaintext: Uint8Array, options: SealOptions): Uint8Array {
  const { reader, context, random, chunkBytes = DEFAULT_CHUNK_BYTES } = options;
  const ephemeral: KeyPair = nacl.box.keyPair.fromSecretKey(random(32));
  const readerKey = fromBase64Url(reader.sealingKey);
  const sealed = Buffer.alloc(sealedBytes(plaintext.length, chunkBytes));
  sealed.write(MAGIC, 0, "latin1");
  sealed.writeUInt8(VERSION, 4);
  sealed.set(ephemeral.publicKey, 8);
  sealed.set(random(4), 40);
  sealed.writeUInt32LE(chunkBytes, 44);
  sealed.writeBigUInt64LE(BigInt(plaintext.length), 48);
  const header = sealed.subarray(0, ENVELOPE_HEADER_BYTES);
  const key = contentKey(ephemeral, readerKey, ephemeral.publicKey, readerKey);

  const total = chunkCount(plaintext.length, chunkBytes);
  let offset = ENVELOPE_HEADER_BYTES;
  for (let seq = 0; seq < total; seq++) {
    const cipher = createCipheriv("aes-256-gcm", key, nonce(header, seq));
    cipher.setAAD(associatedData(header, context, seq, total));
    const chunk = cipher.update(plaintext.subarray(seq * chunkBytes, (seq + 1) * chunkBytes));
    cipher.final();
    sealed.set(chunk, offset);
    sealed.set(cipher.getAuthTag(), offset + chunk.length);
    offset += chunk.length + TAG_BYTES;
  }
  return sealed;
}

/**
 * Yields the plaintext chunk by chunk; memory stays near two chunks, and each is good until the next is asked for. A chunk
 * that is yielded is authentic, but only a generator that ends without throwing has seen the whole object.
 * @throws envelope.invalid, crypto.weak-key
 */
export async function* openStream(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  reader: Identity,
  context: EnvelopeContext,
): AsyncGenerator<Uint8Array, void, undefined> {
  const bytes = byteReader(source);
  try {
    const header = await bytes.exactly(ENVELOPE_HEADER_BYTES);
    const opening = { header, context, ...parseHeader(header, reader) };
    yield* openChunks(bytes, opening, 0, chunkCount(opening.plaintextBytes, opening.chunkBytes));
    await bytes.end();
  } finally {
    await bytes.close();
  }
}

/** Of the plaintext. */
export interface Part {
  readonly start: number;
  readonly end: number;
  /** How long the whole should be. */
  readonly of: number;
}

/** A sealed object that can be read from anywhere. */
export type SealedRange = (range: {
  readonly start: number;
  readonly end: number;
}) => AsyncIterable<Uint8Array>;

/**
 * Yields the plaintext's bytes from `start` up to and without `end`, as `openStream`; only the chunks that hold them are read
 * and authenticated. Parts that cover the whole between them have seen as much as one stream.
 * @throws envelope.invalid, also if the whole has another length; crypto.weak-key
 */
export async function* openPart(
  sealed: SealedRange,
  reader: Identity,
  context: EnvelopeContext,
  { start, end, of }: Part,
): AsyncGenerator<Uint8Array, void, undefined> {
  const head = byteReader(sealed({ start: 0, end: ENVELOPE_HEADER_BYTES }));
  const header = await head.exactly(ENVELOPE_HEADER_BYTES).finally(() => head.close());
  const opening = { header, context, ...parseHeader(header, reader) };
  const { chunkBytes, plaintextBytes } = opening;
  if (plaintextBytes !== of) throw new ConsiliumError("envelope.invalid", { detail: "(of another length)" });
  const total = chunkCount(plaintextBytes, chunkBytes);
  const first = Math.floor(start / chunkBytes);
  const last = Math.max(first + 1, Math.ceil(end / chunkBytes));
  const placeOf = (seq: number): number => ENVELOPE_HEADER_BYTES + seq * (chunkBytes + TAG_BYTES);
  // One byte more than there should be after the last chunk, to see that there is none.
  const until = last < total ? placeOf(last) : sealedBytes(plaintextBytes, chunkBytes) + 1;
  const bytes = byteReader(sealed({ start: placeOf(first), end: until }));
  try {
    let at = first * chunkBytes;
    for await (const chunk of openChunks(bytes, opening, first, last)) {
      yield chunk.subarray(Math.max(0, start - at), Math.min(chunk.length, end - at));
      at += chunk.length;
    }
    if (last === total) await bytes.end();
  } finally {
    await bytes.close();
  }
}

interface Opening extends ReturnType<typeof parseHeader> {
  readonly header: Buffer;
  readonly context: EnvelopeContext;
}

/** Chunks number `first` up to and without `last`, from where the reader stands. */
async function* openChunks(
  bytes: ReturnType<typeof byteReader>,
  { header, context, key, chunkBytes, plaintextBytes }: Opening,
  first: number,
  last: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const total = chunkCount(plaintextBytes, chunkBytes);
  let memory = lend(DEFAULT_CHUNK_BYTES);
  try {
    for (let seq = first; seq < last; seq++) {
      const length = seq === total - 1 ? plaintextBytes - seq * chunkBytes : chunkBytes;
      const decipher = createDecipheriv("aes-256-gcm", key, nonce(header, seq), { authTagLength: TAG_BYTES });
      decipher.setAAD(associatedData(header, context, seq, total));
      if (memory.length < length) {
        takeBack(memory);
        memory = lend(length);
      }
      for (let opened = 0; opened < length;) {
        const part = decipher.update(await bytes.some(Math.min(OPENED_BYTES, length - opened)));
        memory.set(part, opened);
        opened += part.length;
        giveBack(part);
      }
      decipher.setAuthTag(await bytes.exactly(TAG_BYTES));
      try {
        decipher.final();
      } catch (cause) {
        throw new ConsiliumError("envelope.invalid", { cause });
      }
      yield memory.subarray(0, length);
    }
  } finally {
    takeBack(memory);
  }
}

/** The whole object at once. @throws envelope.invalid, crypto.weak-key */
export async function open(
  sealed: Uint8Array,
  reader: Identity,
  context: EnvelopeContext,
): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of openStream([sealed], reader, context)) chunks.push(Buffer.from(chunk));
  return new Uint8Array(Buffer.concat(chunks));
}

function parseHeader(header: Buffer, reader: Identity) {
  const chunkBytes = header.readUInt32LE(44);
  const plaintextBytes = Number(header.readBigUInt64LE(48));
  const wellFormed =
    header.toString("latin1", 0, 4) === MAGIC &&
    header.readUInt8(4) === VERSION &&
    chunkBytes > 0 &&
    chunkBytes <= MAX_CHUNK_BYTES &&
    Number.isSafeInteger(plaintextBytes);
  if (!wellFormed) throw new ConsiliumError("envelope.invalid");
  const ephemeralKey = new Uint8Array(header.subarray(8, 40));
  const readerKey = fromBase64Url(reader.public.sealingKey);
  const own = { secretKey: reader.sealingSecret, publicKey: readerKey };
  return {
    key: contentKey(own, ephemeralKey, ephemeralKey, readerKey),
    chunkBytes,
    plaintextBytes,
  };
}

function contentKey(own: KeyPair, peer: Uint8Array, ephemeral: Uint8Array, reader: Uint8Array): Buffer {
  const shared = agreed(own, peer);
  return Buffer.from(
    hkdfSync("sha256", shared, Buffer.concat([ephemeral, reader]), "consilium/1 envelope", 32),
  );
}

function agreed(own: KeyPair, peer: Uint8Array): Uint8Array {
  try {
    return x25519(own, peer);
  } catch (cause) {
    throw new ConsiliumError("crypto.weak-key", { cause });
  }
}

function nonce(header: Buffer, seq: number): Buffer {
  const bytes = Buffer.alloc(12);
  header.copy(bytes, 0, 40, 44);
  bytes.writeBigUInt64BE(BigInt(seq), 4);
  return bytes;
}

function associatedData(header: Buffer, context: EnvelopeContext, seq: number, total: number): Buffer {
  const place = { ...context, seq, total, final: seq === total - 1 };
  return Buffer.concat([header, Buffer.from(canonicalJson(place as Json))]);
}

/** An empty object still has one chunk, whose tag authenticates it. */
function chunkCount(plaintextBytes: number, chunkBytes: number): number {
  return Math.max(1, Math.ceil(plaintextBytes / chunkBytes));
}

/** Reads a stream of arbitrary pieces. */
function byteReader(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
  const iterator =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  let rest: Uint8Array = new Uint8Array(0);
  /** What comes next, at least one byte and at most so many, which is good until more is asked for. */
  const some = async (most: number): Promise<Uint8Array> => {
    while (rest.length === 0) {
      const next = await iterator.next();
      if (next.done === true) throw new ConsiliumError("envelope.invalid", { detail: "(cut short)" });
      rest = next.value;
    }
    const part = rest.subarray(0, most);
    rest = rest.subarray(part.length);
    return part;
  };
  return {
    some,
    /** Few, and to be kept. */
    exactly: async (length: number): Promise<Buffer> => {
      const bytes = Buffer.alloc(length);
      for (let filled = 0; filled < length;) {
        const part = await some(length - filled);
        bytes.set(part, filled);
        filled += part.length;
      }
      return bytes;
    },
    /** Nothing may follow. */
    end: async (): Promise<void> => {
      while (rest.length === 0) {
        const next = await iterator.next();
        if (next.done === true) return;
        rest = next.value;
      }
      throw new ConsiliumError("envelope.invalid", { detail: "(bytes after the end)" });
    },
    /** Nothing more is asked of the source. */
    close: async (): Promise<void> => {
      await iterator.return?.();
    },
  };
}
