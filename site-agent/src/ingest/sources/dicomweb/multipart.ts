/** Splits a multipart body (RFC 2046, 5.1) as it arrives, holding no more of it than a boundary's length. */
import { ConsiliumError } from "@consilium/shared/errors";

/** Takes one part of the body. */
export interface PartSink {
  write(piece: Uint8Array): Promise<void>;
  /** The part has arrived to its last byte. */
  end(): Promise<void>;
}

const LINE_END = Buffer.from("\r\n");
const HEAD_END = Buffer.from("\r\n\r\n");
const MAX_HEAD_BYTES = 16 * 1024;

/** The boundary that a Content-Type names, or null if the body is not multipart. */
export function boundaryOf(contentType: string): string | null {
  if (!/^multipart\//i.test(contentType.trim())) return null;
  const match = /;\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(contentType);
  return match?.[1] ?? match?.[2] ?? null;
}

/**
 * @param begin is asked for a sink when a part begins
 * @throws pacs.failed if the body ends before its last boundary, pacs.invalid
 */
export async function splitMultipart(
  body: AsyncIterable<Uint8Array>,
  boundary: string,
  begin: () => Promise<PartSink>,
): Promise<void> {
  const splitter = new Splitter(Buffer.from(`\r\n--${boundary}`, "latin1"), begin);
  for await (const chunk of body) await splitter.feed(chunk);
  if (!splitter.isComplete) throw new ConsiliumError("pacs.failed", { detail: "(the reply was cut off)" });
}

class Splitter {
  readonly #delimiter: Buffer;
  readonly #begin: () => Promise<PartSink>;
  /** A boundary may open the body without a line end before it. */
  #rest: Buffer = LINE_END;
  #at: "preamble" | "head" | "data" | "epilogue" = "preamble";
  #sink: PartSink | null = null;

  constructor(delimiter: Buffer, begin: () => Promise<PartSink>) {
    this.#delimiter = delimiter;
    this.#begin = begin;
  }

  get isComplete(): boolean {
    return this.#at === "epilogue";
  }

  async feed(chunk: Uint8Array): Promise<void> {
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    while (await this.#step());
  }

  /** @returns whether there may be more to do before the next chunk */
  async #step(): Promise<boolean> {
    switch (this.#at) {
      case "preamble":
      case "data":
        return this.#untilDelimiter();
      case "head":
        return this.#head();
      case "epilogue":
        this.#rest = Buffer.alloc(0);
        return false;
    }
  }

  async #untilDelimiter(): Promise<boolean> {
    const found = this.#rest.indexOf(this.#delimiter);
    if (found < 0) {
      // The end may be the beginning of a delimiter.
      const safe = this.#rest.length - this.#delimiter.length + 1;
      if (safe > 0) {
        await this.#sink?.write(this.#rest.subarray(0, safe));
        this.#rest = this.#rest.subarray(safe);
      }
      return false;
    }
    const after = found + this.#delimiter.length;
    if (this.#rest.length < after + 2) return false;
    if (found > 0) await this.#sink?.write(this.#rest.subarray(0, found));
    await this.#sink?.end();
    this.#sink = null;
    const isLast = this.#rest.subarray(after, after + 2).toString("latin1") === "--";
    this.#at = isLast ? "epilogue" : "head";
    this.#rest = this.#rest.subarray(after);
    return true;
  }

  /** From the end of the delimiter: padding, then header lines, then an empty line. */
  async #head(): Promise<boolean> {
    const end = this.#rest.indexOf(HEAD_END);
    if (end < 0) {
      if (this.#rest.length > MAX_HEAD_BYTES)
        throw new ConsiliumError("pacs.invalid", { detail: "(multipart)" });
      return false;
    }
    this.#sink = await this.#begin();
    this.#rest = this.#rest.subarray(end + HEAD_END.length);
    this.#at = "data";
    return true;
  }
}
