/** Writing masks beside a cache: a whole set at once, which replaces the one before in one step. */
import { randomBytes } from "node:crypto";
import { open, readdir, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { syncFolder, writeFileAtomic } from "./files.ts";
import { storedKnown } from "./known.ts";
import {
  encodeMasks,
  MASKS_FILE,
  maskRecordBytes,
  maskShardName,
  recordsPerShard,
  setOfShard,
  type MaskRecord,
} from "./masks-format.ts";
import type { RecordShape } from "./types.ts";

/** Slices are 1 for images. */
export type MaskShape = Pick<RecordShape, "sizePx" | "depthPx">;

export class MaskWriter {
  readonly #dir: string;
  readonly #classes: readonly string[];
  readonly #shape: MaskShape;
  readonly #set = randomBytes(8).toString("hex");
  readonly #records: MaskRecord[] = [];
  #file: FileHandle | null = null;

  /** The folder of the cache, the classes in the order of the records, the shape of the cache's images or volumes. */
  constructor(dir: string, classes: readonly string[], { sizePx, depthPx }: MaskShape) {
    this.#dir = dir;
    this.#classes = classes;
    this.#shape = { sizePx, depthPx };
  }

  /**
   * @param masks classes x depthPx x sizePx^2 bytes, class after class: coverage 0 .. 255
   * @param known the classes that were looked for on the image; others are not known there
   */
  async append(
    image: string,
    masks: Uint8Array,
    known: ReadonlySet<string> = new Set(this.#classes),
  ): Promise<void> {
    const recordBytes = maskRecordBytes({ classes: [...this.#classes], ...this.#shape });
    if (masks.length !== recordBytes) throw new RangeError(`masks of ${masks.length} bytes`);
    const perShard = recordsPerShard(recordBytes);
    const index = this.#records.length;
    if (index % perShard === 0) {
      await this.#closeShard();
      this.#file = await open(join(this.#dir, maskShardName(this.#set, index / perShard)), "w", 0o600);
    }
    await this.#file?.writeFile(masks);
    const stored = storedKnown(known, new Set(this.#classes));
    this.#records.push({ image, crc: crc32(masks), ...(stored !== undefined && { known: [...stored] }) });
  }

  /** Bytes first, index after; then the set before is removed. Whoever has it open reads on. */
  async finish(): Promise<void> {
    await this.#closeShard();
    await syncFolder(this.#dir);
    const { sizePx, depthPx } = this.#shape;
    const contents = {
      classes: [...this.#classes],
      sizePx,
      ...(depthPx > 1 && { depthPx }),
      set: this.#set,
      records: this.#records,
    };
    await writeFileAtomic(join(this.#dir, MASKS_FILE), encodeMasks(contents));
    await this.#remove((set) => set !== this.#set);
  }

  /** Leaves the set before as it is. */
  async abandon(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
    await this.#remove((set) => set === this.#set);
  }

  async #closeShard(): Promise<void> {
    await this.#file?.sync();
    await this.#file?.close();
    this.#file = null;
  }

  async #remove(unwanted: (set: string) => boolean): Promise<void> {
    for (const name of await readdir(this.#dir)) {
      const set = setOfShard(name);
      if (set !== null && unwanted(set)) await rm(join(this.#dir, name), { force: true });
    }
  }
}
