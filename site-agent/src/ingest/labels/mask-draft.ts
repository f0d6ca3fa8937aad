/** Masks of one source as they are found, on disk until all are known: which classes there are is known only then. */
import { open, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { joinKnown, type Known } from "../../dataset/known.ts";
import { openMasks, type MaskSet } from "../../dataset/masks.ts";
import { MaskWriter, type MaskShape } from "../../dataset/masks-writer.ts";

/** Coverage of a pixel that lies in the mask as a whole. */
const WHOLE = 255;

export class MaskDraft {
  readonly #dir: string;
  readonly #shape: MaskShape;
  readonly #path: string;
  readonly #file: FileHandle;
  /** Image key -> class -> place in the file. */
  readonly #places = new Map<string, Map<string, number>>();
  /** Image key -> classes that were looked for; null: all that files have which name none. */
  readonly #lookedFor = new Map<string, Set<string | null>>();
  #count = 0;

  private constructor(dir: string, shape: MaskShape, path: string, file: FileHandle) {
    this.#dir = dir;
    this.#shape = shape;
    this.#path = path;
    this.#file = file;
  }

  /** @param name tells drafts apart that are open at once */
  static async open(dir: string, shape: MaskShape, name: string): Promise<MaskDraft> {
    const path = join(dir, `masks-${name}.draft`);
    return new MaskDraft(dir, shape, path, await open(path, "w+", 0o600));
  }

  /** @param among the classes that were looked for; null for all that files of the source have whose masks are numbered */
  lookedAt(image: string, among: readonly (string | null)[] | null): void {
    const before = this.#lookedFor.get(image) ?? [];
    this.#lookedFor.set(image, new Set([...before, ...(among ?? [null])]));
  }

  /** Nothing is said of the image after all. */
  forget(image: string): void {
    this.#places.delete(image);
    this.#lookedFor.delete(image);
  }

  /**
   * A second mask of one class on one image is joined with the first. Of a volume each covers other slices, so that parts of a voxel
   * add up.
   * @param square depthPx x sizePx^2 bytes
   * @returns whether there was one before
   */
  async add(image: string, label: string, square: Uint8Array): Promise<boolean> {
    const classes = this.#places.get(image) ?? new Map<string, number>();
    this.#places.set(image, classes);
    const before = classes.get(label);
    const place = before ?? this.#count++;
    classes.set(label, place);
    if (before !== undefined) {
      const first = await this.#read(before);
      const isVolume = this.#shape.depthPx > 1;
      for (const [i, value] of first.entries()) {
        const own = square[i] ?? 0;
        square[i] = isVolume ? Math.min(WHOLE, value + own) : Math.max(value, own);
      }
    }
    await this.#file.write(square, 0, square.length, place * square.length);
    return before !== undefined;
  }

  /** Puts the draft over the masks that the cache has: its classes win on its images, all else stays. */
  async merge(): Promise<void> {
    const existing = await openMasks(this.#dir);
    try {
      // Masks of a cache of another size are of a cache that is gone.
      const { sizePx, depthPx } = this.#shape;
      const kept = existing?.sizePx === sizePx && existing.depthPx === depthPx ? existing : null;
      const own = [...this.#places.values()].flatMap((classes) => [...classes.keys()]);
      const classes = [...new Set([...(kept?.classes ?? []), ...own])].sort();
      const known = joinKnown(kept?.known ?? new Map<string, never>(), this.#known());
      const writer = new MaskWriter(this.#dir, classes, this.#shape);
      try {
        for (const [image, ofImage] of [...known].sort(([a], [b]) => (a < b ? -1 : 1)))
          await writer.append(image, await this.#combine(image, classes, kept), ofImage);
        await writer.finish();
      } catch (error) {
        await writer.abandon();
        throw error;
      }
    } finally {
      existing?.close();
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
    await rm(this.#path, { force: true });
  }

  async #combine(image: string, classes: readonly string[], kept: MaskSet | null): Promise<Uint8Array> {
    const squareBytes = this.#squareBytes;
    const out = new Uint8Array(classes.length * squareBytes);
    if (kept?.images.has(image) === true) {
      const before = new Uint8Array(kept.classes.length * squareBytes);
      kept.read(image, before);
      for (const [i, label] of kept.classes.entries())
        out.set(
          before.subarray(i * squareBytes, (i + 1) * squareBytes),
          classes.indexOf(label) * squareBytes,
        );
    }
    for (const [label, place] of this.#places.get(image) ?? [])
      out.set(await this.#read(place), classes.indexOf(label) * squareBytes);
    return out;
  }

  #known(): Known {
    const foundOn = (image: string): readonly string[] => [...(this.#places.get(image)?.keys() ?? [])];
    const numbered = [...this.#lookedFor].flatMap(([image, among]) =>
      among.has(null) ? foundOn(image).filter((label) => !among.has(label)) : [],
    );
    return new Map(
      [...this.#lookedFor].map(([image, among]) => {
        const named = [...among].filter((label) => label !== null);
        return [image, new Set([...named, ...foundOn(image), ...(among.has(null) ? numbered : [])])];
      }),
    );
  }

  get #squareBytes(): number {
    return this.#shape.depthPx * this.#shape.sizePx ** 2;
  }

  async #read(place: number): Promise<Uint8Array> {
    const square = new Uint8Array(this.#squareBytes);
    await this.#file.read(square, 0, square.length, place * square.length);
    return square;
  }
}
