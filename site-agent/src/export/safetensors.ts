/**
 * The safetensors format (https://github.com/huggingface/safetensors, "Format"):
 *
 *     0    8  header length H, little-endian 64-bit
 *     8    H  JSON: {"__metadata__": {string: string}, NAME: {"dtype", "shape", "data_offsets": [begin, end]}}, padded with spaces
 *   8+H    .  tensor data, little-endian, row-major, without gaps
 *
 * Written here as float32 with sorted names, so that equal weights give equal bytes. F16 and BF16 are read and widened.
 */
import { elementCount } from "@consilium/shared/manifest";
import { ConsiliumError } from "@consilium/shared/errors";
import { z } from "zod";

export interface NamedTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export interface TensorFile {
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  /** Strings only: what the format allows. */
  readonly metadata: Readonly<Record<string, string>>;
}

const PREFIX_BYTES = 8;
/** The limit of the reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;
const ALIGNMENT = 8;
const METADATA = "__metadata__";

export function encodeSafetensors({ tensors, metadata }: TensorFile): Uint8Array {
  const sorted = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
  const header: Record<string, unknown> = { [METADATA]: sortedRecord(metadata) };
  let dataBytes = 0;
  for (const [name, { shape, values }] of sorted) {
    if (elementCount(shape) !== values.length) {
      throw new ConsiliumError("frame.wrong-length", { culprits: [name] });
    }
    header[name] = { dtype: "F32", shape, data_offsets: [dataBytes, dataBytes + 4 * values.length] };
    dataBytes += 4 * values.length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const headerBytes = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const bytes = new Uint8Array(PREFIX_BYTES + headerBytes + dataBytes);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(headerBytes), true);
  bytes.fill(0x20, PREFIX_BYTES, PREFIX_BYTES + headerBytes);
  bytes.set(json, PREFIX_BYTES);
  let offset = PREFIX_BYTES + headerBytes;
  for (const [, { values }] of sorted) {
    for (const value of values) {
      view.setFloat32(offset, value, true);
      offset += 4;
    }
  }
  return bytes;
}

const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(z.int().min(0)).readonly(),
  data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
});
const headerSchema = z.record(z.string(), z.unknown());
const metadataSchema = z.record(z.string(), z.string());

/** @throws weights.unreadable on anything that the format does not allow: gaps, overlaps, lengths that do not fit, other dtypes */
export function decodeSafetensors(bytes: Uint8Array): TensorFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < PREFIX_BYTES) throw unreadable("(too short)");
  const headerBytes = Number(view.getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES || PREFIX_BYTES + headerBytes > bytes.length) {
    throw unreadable("(header length)");
  }
  const { [METADATA]: metadata = {}, ...entries } = parseHeader(
    bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + headerBytes),
  );
  const parsedMetadata = metadataSchema.safeParse(metadata);
  if (!parsedMetadata.success) throw unreadable("(metadata)");

  const specs = Object.entries(entries)
    .map(([name, entry]) => {
      const parsed = entrySchema.safeParse(entry);
      if (!parsed.success) throw unreadable("(header)", name);
      return { name, ...parsed.data };
    })
    .sort((a, b) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1]);
  const tensors = new Map<string, NamedTensor>();
  let expected = 0;
  for (const { name, dtype, shape, data_offsets } of specs) {
    const [begin, end] = data_offsets;
    if (begin !== expected) throw unreadable("(a gap or an overlap)", name);
    const decoder = DTYPES.get(dtype);
    if (!decoder) throw unreadable(`(dtype ${dtype.slice(0, 16)})`, name);
    const length = elementCount(shape);
    const start = PREFIX_BYTES + headerBytes + begin;
    if (end - begin !== length * decoder.bytes || start + (end - begin) > bytes.length) {
      throw unreadable("(length)", name);
    }
    const values = Float32Array.from({ length }, (_, i) => decoder.read(view, start + i * decoder.bytes));
    tensors.set(name, { shape, values });
    expected = end;
  }
  if (PREFIX_BYTES + headerBytes + expected !== bytes.length) throw unreadable("(bytes left over)");
  return { tensors, metadata: parsedMetadata.data };
}

interface ElementDecoder {
  readonly bytes: number;
  readonly read: (view: DataView, offset: number) => number;
}

const DTYPES: ReadonlyMap<string, ElementDecoder> = new Map([
  ["F32", { bytes: 4, read: (view, offset) => view.getFloat32(offset, true) }],
  ["F16", { bytes: 2, read: (view, offset) => float16(view.getUint16(offset, true)) }],
  ["BF16", { bytes: 2, read: (view, offset) => bfloat16(view.getUint16(offset, true)) }],
]);

/** IEEE 754 binary16. */
function float16(bits: number): number {
  const sign = bits >>> 15 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The upper half of a binary32. */
function bfloat16(bits: number): number {
  const scratch = new DataView(new ArrayBuffer(4));
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ConsiliumError("weights.unreadable", { detail: "(header)", cause });
  }
  const parsed = headerSchema.safeParse(json);
  if (!parsed.success) throw unreadable("(header)");
  return parsed.data;
}

function sortedRecord(record: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function unreadable(detail: string, tensor?: string): ConsiliumError {
  return new ConsiliumError("weights.unreadable", {
    detail,
    ...(tensor === undefined ? {} : { culprits: [tensor.slice(0, 200)] }),
  });
}
