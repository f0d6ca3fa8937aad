/** Masks that were drawn slice by slice, laid on the plan's grid as their volumes were. */
import type { Plan } from "@consilium/shared/plan";
import type { CachedRecord } from "../../dataset/cache-format.ts";
import type { MaskShape } from "../../dataset/masks-writer.ts";
import { GridFiller } from "../volume/grid.ts";
import { straighten } from "../volume/straighten.ts";
import type { GreyImage } from "../resize.ts";
import { MaskDraft } from "./mask-draft.ts";
import { assertFew, newTally, type ImageItem, type Target } from "./targets.ts";
import type { IndexedVolume, SlicePlace, VolumeIndex } from "./volume-index.ts";

const WHOLE = 255;

export interface VolumeMaskOptions {
  readonly cached: ReadonlyMap<string, Pick<CachedRecord, "volume">>;
  readonly dir: string;
  readonly shape: MaskShape;
  readonly planned: NonNullable<Plan["volume"]>;
  readonly index: VolumeIndex;
  /** Tells targets apart that are open at once. */
  readonly name: string;
}

/**
 * A volume of which any slice was looked at was looked at as a whole; a slice without a mask shows nothing. Not so where a part of
 * a file could not be placed: then its volumes have no masks.
 */
export class VolumeMaskTarget implements Target {
  readonly tally = newTally();
  readonly #options: VolumeMaskOptions;
  readonly #draft: MaskDraft;
  readonly #classes = new Set<string>();
  /** Volumes with a mask that does not fit, or that were not read as a whole. */
  readonly #misfits = new Set<string>();
  /** Slices and classes that had a mask before. */
  readonly #met = new Set<string>();
  /** Of the file that is being read: volume -> what it has so far. */
  readonly #open = new Map<string, OpenVolume>();

  private constructor(options: VolumeMaskOptions, draft: MaskDraft) {
    this.#options = options;
    this.#draft = draft;
  }

  static async open(options: VolumeMaskOptions): Promise<VolumeMaskTarget> {
    return new VolumeMaskTarget(options, await MaskDraft.open(options.dir, options.shape, options.name));
  }

  take(item: ImageItem): void {
    if (item.kind !== "mask" && item.kind !== "looked-at") return;
    const { slices, volumes } = this.#options.index;
    const ofFrame = item.frame === undefined ? undefined : slices.get(`${item.image}/${item.frame}`);
    const place = slices.get(item.image) ?? ofFrame;
    const volume = place?.volume ?? volumes.get(item.image);
    if (volume === undefined || !this.#isCached(volume)) {
      this.tally.unmatched.add(volume?.key ?? item.image);
      return;
    }
    if (this.#misfits.has(volume.key)) return;
    const { classes, among } = this.#open.get(volume.key) ?? newVolume();
    this.#open.set(volume.key, { classes, among });
    this.tally.matched.add(volume.key);
    if (item.kind === "looked-at") {
      for (const label of item.among ?? [null]) among.add(label);
      return;
    }
    if (place === undefined || !isOn(item.mask, volume)) {
      this.tally.unreadable += 1;
      this.#refuse(volume.key);
      return;
    }
    this.#classes.add(item.label);
    assertFew(this.#classes);
    const { sizePx } = this.#options.shape;
    const filler = classes.get(item.label) ?? new GridFiller(volume.source, sizePx, this.#options.planned);
    classes.set(item.label, filler);
    filler.add(place.slice, planeOf(item.mask, place));
    const met = `${volume.key}/${place.slice}/${item.label}`;
    if (this.#met.has(met)) this.tally.duplicates += 1;
    this.#met.add(met);
  }

  async endFile(isWhole: boolean): Promise<void> {
    const found = [...this.#open];
    this.#open.clear();
    for (const [volume, { classes, among }] of found) {
      if (!isWhole) {
        this.#refuse(volume);
        continue;
      }
      this.#draft.lookedAt(volume, [...among]);
      for (const [label, filler] of classes) {
        const coverage = filler.finish().values;
        const bytes = Uint8Array.from(coverage, (value) => Math.min(WHOLE, Math.round(value)));
        await this.#draft.add(volume, label, bytes);
      }
    }
  }

  async save(): Promise<void> {
    if (this.tally.matched.size > 0) await this.#draft.merge();
  }

  async close(): Promise<void> {
    await this.#draft.close();
  }

  /** An empty mask, or a part of one, would be a lie. */
  #refuse(volume: string): void {
    this.#misfits.add(volume);
    this.#open.delete(volume);
    this.tally.matched.delete(volume);
    this.#draft.forget(volume);
  }

  /** Made of the same slices. */
  #isCached({ key, composition }: IndexedVolume): boolean {
    const record = this.#options.cached.get(key);
    if (record === undefined) return false;
    const cached = record.volume?.composition;
    return composition === null || cached === undefined || cached === composition;
  }
}

interface OpenVolume {
  readonly classes: Map<string, GridFiller>;
  /** Classes that were looked for on its slices. */
  readonly among: Set<string | null>;
}

const newVolume = (): OpenVolume => ({ classes: new Map(), among: new Set() });

function isOn({ rows, columns }: GreyImage, { source }: IndexedVolume): boolean {
  return rows === source.counts[1] && columns === source.counts[2];
}

function planeOf({ rows, columns, values }: GreyImage, { volume, slice }: SlicePlace): Float32Array {
  const shift = volume.shifts?.[slice];
  return shift === undefined ? values : straighten(values, rows, columns, shift);
}
