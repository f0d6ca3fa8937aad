/** Where labels go: classes and findings, boxes, masks. Each gathers one source, then joins it with what the cache has. */
import { readBoxes, writeBoxes, type Box } from "../../dataset/boxes.ts";
import { joinKnown } from "../../dataset/known.ts";
import { joinFindings, readFindings, writeFindings, type ImageFindings } from "../../dataset/findings.ts";
import { readLabels, writeLabels } from "../../dataset/labels.ts";
import { fitMask, type CachedRegion } from "./fit-mask.ts";
import type { LabelItem } from "./item.ts";
import { MaskDraft } from "./mask-draft.ts";
import { invalid, MAX_CLASSES } from "./table.ts";

/** Counts of one source, images by their keys. */
export interface Tally {
  readonly matched: Set<string>;
  readonly unmatched: Set<string>;
  duplicates: number;
  readonly conflicts: Set<string>;
  refused: number;
  unreadable: number;
}

/** An item that names an image. */
export type ImageItem = Exclude<LabelItem, { readonly kind: "refused" | "unreadable" }>;

/** Images of the cache, by key. */
export type Cached = ReadonlyMap<string, CachedRegion>;

export interface Target {
  readonly tally: Tally;
  take(item: ImageItem): Promise<void> | void;
  /** All of a file was taken. @param isWhole nothing of it was unreadable */
  endFile?(isWhole: boolean): Promise<void>;
  /** Replaces what the cache has, in one step. */
  save(): Promise<void>;
  close(): Promise<void>;
}

export const newTally = (): Tally => ({
  matched: new Set(),
  unmatched: new Set(),
  duplicates: 0,
  conflicts: new Set(),
  refused: 0,
  unreadable: 0,
});

/** Exactly one class for each image makes classes (labels.json); anything else makes findings (findings.json). */
export class ClassTarget implements Target {
  readonly tally = newTally();
  readonly #cached: Cached;
  readonly #dir: string;
  readonly #rows = new Map<string, ImageFindings>();
  #among: readonly string[] | null = null;

  constructor(cached: Cached, dir: string) {
    this.#cached = cached;
    this.#dir = dir;
  }

  take(item: ImageItem): void {
    if (item.kind !== "classes") return;
    const { image, classes: present, unknown, among } = item;
    this.#among = among;
    const before = this.#rows.get(image);
    if (before === undefined) {
      this.#rows.set(image, { present, unknown });
      (this.#cached.has(image) ? this.tally.matched : this.tally.unmatched).add(image);
      return;
    }
    this.tally.duplicates += 1;
    const isSame =
      before.present.join("|") === present.join("|") && before.unknown.join("|") === unknown.join("|");
    if (isSame) return;
    this.tally.conflicts.add(image);
    this.tally.matched.delete(image);
    this.tally.unmatched.delete(image);
  }

  async save(): Promise<void> {
    const { matched, conflicts } = this.tally;
    const isOneClass = ({ present, unknown }: ImageFindings): boolean =>
      present.length === 1 && unknown.length === 0;
    if ([...this.#rows.values()].every(isOneClass)) {
      const labels = new Map(await readLabels(this.#dir));
      for (const image of matched) labels.set(image, this.#rows.get(image)?.present[0] ?? "");
      for (const image of conflicts) labels.delete(image);
      await writeLabels(this.#dir, labels);
      return;
    }
    const rows = new Map([...this.#rows].filter(([image]) => matched.has(image)));
    const findings = new Map(joinFindings(await readFindings(this.#dir), rows, this.#among));
    for (const image of conflicts) findings.delete(image);
    await writeFindings(this.#dir, findings);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** An image that is said to show nothing, and has a box as well, gets neither. */
export class BoxTarget implements Target {
  readonly tally = newTally();
  readonly #cached: Cached;
  readonly #dir: string;
  readonly #isTable: boolean;
  readonly #boxes = new Map<string, Box[]>();
  readonly #empty = new Set<string>();
  /** Classes that the source names beside those of its boxes. */
  readonly #named = new Set<string>();

  /** @param isTable whose images were all looked at for all of its classes; else an image's boxes speak of their own */
  constructor(cached: Cached, dir: string, isTable: boolean) {
    this.#cached = cached;
    this.#dir = dir;
    this.#isTable = isTable;
  }

  take(item: ImageItem): void {
    const { image } = item;
    if (item.kind === "looked-at") {
      if (this.#empty.has(image)) this.tally.duplicates += 1;
      this.#empty.add(image);
      for (const label of item.among ?? []) this.#named.add(label);
    } else if (item.kind === "box") {
      const boxes = this.#boxes.get(image) ?? [];
      this.#boxes.set(image, boxes);
      if (boxes.some((box) => isSame(box, item.box))) this.tally.duplicates += 1;
      else boxes.push(item.box);
    } else return;
    const { matched, unmatched, conflicts } = this.tally;
    if (this.#empty.has(image) && this.#boxes.has(image)) conflicts.add(image);
    if (conflicts.has(image)) {
      matched.delete(image);
      unmatched.delete(image);
    } else (this.#cached.has(image) ? matched : unmatched).add(image);
  }

  async save(): Promise<void> {
    const before = await readBoxes(this.#dir);
    const merged = new Map(before.boxes);
    const own = new Set([...this.#boxes.values()].flat().map(({ label }) => label));
    assertFew(new Set([...own, ...[...merged.values()].flat().map(({ label }) => label)]));
    const lookedFor = new Map<string, ReadonlySet<string>>();
    for (const image of this.tally.matched) {
      const found = this.#boxes.get(image) ?? [];
      const spoken = new Set(this.#isTable ? [...own, ...this.#named] : found.map(({ label }) => label));
      lookedFor.set(image, spoken);
      // Boxes of classes that this source does not speak of stay.
      const others = (merged.get(image) ?? []).filter(({ label }) => !spoken.has(label));
      merged.set(image, [...others, ...found]);
    }
    for (const image of this.tally.conflicts) merged.delete(image);
    await writeBoxes(this.#dir, merged, joinKnown(before.known, lookedFor));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export class MaskTarget implements Target {
  readonly tally = newTally();
  readonly #cached: Cached;
  readonly #sizePx: number;
  readonly #draft: MaskDraft;
  readonly #classes = new Set<string>();
  /** Images with a mask that does not fit: an empty mask would be a lie. */
  readonly #misfits = new Set<string>();

  private constructor(cached: Cached, sizePx: number, draft: MaskDraft) {
    this.#cached = cached;
    this.#sizePx = sizePx;
    this.#draft = draft;
  }

  /** @param name tells targets apart that are open at once */
  static async open(cached: Cached, dir: string, sizePx: number, name: string): Promise<MaskTarget> {
    return new MaskTarget(cached, sizePx, await MaskDraft.open(dir, { sizePx, depthPx: 1 }, name));
  }

  async take(item: ImageItem): Promise<void> {
    const { image } = item;
    if (item.kind !== "mask" && item.kind !== "looked-at") return;
    const region = this.#cached.get(image);
    if (region === undefined) {
      this.tally.unmatched.add(image);
      return;
    }
    if (this.#misfits.has(image)) return;
    if (item.kind === "mask") {
      const square = fitMask(item.mask, region, this.#sizePx);
      if (square === null) {
        this.tally.unreadable += 1;
        this.tally.matched.delete(image);
        this.#misfits.add(image);
        this.#draft.forget(image);
        return;
      }
      this.#classes.add(item.label);
      assertFew(this.#classes);
      if (await this.#draft.add(image, item.label, square)) this.tally.duplicates += 1;
    } else this.#draft.lookedAt(image, item.among);
    this.tally.matched.add(image);
  }

  async save(): Promise<void> {
    if (this.tally.matched.size > 0) await this.#draft.merge();
  }

  async close(): Promise<void> {
    await this.#draft.close();
  }
}

/** @throws labels.invalid */
export function assertFew(classes: ReadonlySet<string>): void {
  if (classes.size > MAX_CLASSES) throw invalid(`(more than ${MAX_CLASSES} different labels)`);
}

const isSame = (a: Box, b: Box): boolean =>
  a.label === b.label && a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height;
