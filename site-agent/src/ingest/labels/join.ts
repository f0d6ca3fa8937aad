/** Labels join the images of a cache by their keys, and everything that does not fit is counted. */
import { ConsiliumError } from "@consilium/shared/errors";
import { inputProfileHash, type InputProfile } from "@consilium/shared/input-profile";
import { openImageCache } from "../../dataset/cache.ts";
import { indexImages, NO_IMAGES, type ImageIndex } from "./geometry.ts";
import { invalid } from "./table.ts";
import { indexVolumes } from "./volume-index.ts";
import { VolumeMaskTarget } from "./volume-masks.ts";
import { BoxTarget, ClassTarget, MaskTarget, type Cached, type Tally, type Target } from "./targets.ts";
import type { LabelForm, LabelItem } from "./item.ts";
import { labelFiles } from "./source.ts";

/** What the join with the cache's images found. */
export interface LabelCounts {
  /** Images that have labels now because of this source. */
  readonly matched: number;
  /** Images that the cache does not hold. */
  readonly unmatched: number;
  /** Rows, boxes and masks that say once more what was said of an image. */
  readonly duplicates: number;
  /** Images of which two rows say different things: they get no label. */
  readonly conflicts: number;
  /** Labels whose text is not a name of a class. */
  readonly refused: number;
  /** Files, frames and shapes that are damaged or of a kind that is not read, and masks of other proportions than their image. */
  readonly unreadable: number;
}

export interface LabelSource extends LabelCounts {
  /** What the files were taken for. */
  readonly form: LabelForm;
  readonly files: number;
}

export interface LabelSummary extends LabelCounts {
  /** In the order given, one for each form that a path holds. */
  readonly sources: readonly LabelSource[];
}

export interface LabelOptions {
  /** Files and folders; a later one wins over an earlier one. */
  readonly paths: readonly string[];
  readonly cacheDir: string;
  readonly secret: Uint8Array;
  /** The images themselves, for labels that are drawn in the patient's coordinates; null if they are not at hand. */
  readonly imagesFolder: string | null;
  /** What the plan says of images; needed for masks of volumes, which are laid on its grid. */
  readonly profile?: InputProfile;
  readonly onProgress?: (progress: LabelProgress) => void;
  readonly signal?: AbortSignal;
}

export interface LabelProgress {
  readonly form: LabelForm;
  /** Label files read. */
  readonly files: number;
}

export const NO_LABELS: LabelSummary = {
  matched: 0,
  unmatched: 0,
  duplicates: 0,
  conflicts: 0,
  refused: 0,
  unreadable: 0,
  sources: [],
};

/**
 * Adds labels to the cache. Each path takes effect as a whole or not at all.
 * @throws labels.invalid, cache.wrong-profile for volumes of another plan, labels.unmatched if a path has labels and none is for an image of the cache, cache.corrupt,
 * cache.missing
 */
export async function addLabels(options: LabelOptions): Promise<LabelSummary> {
  const { cacheDir, secret, imagesFolder, profile, signal } = options;
  if (options.paths.length === 0) return NO_LABELS;
  const cache = await openImageCache(cacheDir);
  cache.close();
  const cached = new Map(cache.records.map((record) => [record.image, record]));
  const ofVolumes = cache.depthPx > 1;
  if (ofVolumes && profile !== undefined && inputProfileHash(profile) !== cache.profile)
    throw new ConsiliumError("cache.wrong-profile");
  const volumes = once(() => indexVolumes(imagesFolder ?? "", secret, signal));
  const singles = once(() => indexImages(imagesFolder ?? "", secret, signal));
  const images = (): Promise<ImageIndex> =>
    imagesFolder === null ? Promise.resolve(NO_IMAGES) : ofVolumes ? volumes() : singles();
  const targetOf = async (form: LabelForm): Promise<Target> => {
    if (!ofVolumes || !OF_MASKS.has(form))
      return openTarget(form, { cacheDir, cached, sizePx: cache.sizePx });
    const planned = profile?.volume ?? null;
    if (imagesFolder === null || planned === null)
      throw invalid("(masks of volumes need the headers of the images: give their folder, --images)");
    const { sizePx, depthPx } = cache;
    const place = { dir: cacheDir, cached, shape: { sizePx, depthPx }, planned, name: form };
    return VolumeMaskTarget.open({ ...place, index: await volumes() });
  };
  const sources: LabelSource[] = [];
  for (const path of options.paths) {
    const found = new Map<LabelForm, { files: number; readonly target: Target }>();
    try {
      for await (const { form, items } of labelFiles(path, secret, images, ofVolumes)) {
        signal?.throwIfAborted();
        const entry = found.get(form) ?? {
          files: 0,
          target: await targetOf(form),
        };
        found.set(form, entry);
        entry.files += 1;
        await drain(items, entry.target);
        options.onProgress?.({ form, files: entry.files });
      }
      const counted = [...found].map(([form, { files, target }]) => ({
        form,
        files,
        ...countsOf(target.tally),
      }));
      const total = sum(counted);
      if (total.matched === 0 && total.unmatched > 0) throw new ConsiliumError("labels.unmatched");
      for (const { target } of found.values()) await target.save();
      sources.push(...counted);
    } finally {
      for (const { target } of found.values()) await target.close();
    }
  }
  return { ...sum(sources), sources };
}

/**
 * Whether each path can hold labels at all, before anything that takes long. Tables are read through; files in folders are not.
 * @throws labels.invalid
 */
export async function checkLabels(paths: readonly string[]): Promise<void> {
  const nobody = new Uint8Array(32);
  for (const path of paths)
    for await (const { form, items } of labelFiles(path, nobody, () => Promise.resolve(NO_IMAGES))) {
      if (!TABLES.has(form)) break;
      await drain(items, new ClassTarget(new Map(), ""));
    }
}

const TABLES: ReadonlySet<LabelForm> = new Set(["class-table", "box-table", "rsna-table"]);

interface TargetOptions {
  readonly cacheDir: string;
  readonly cached: Cached;
  readonly sizePx: number;
}

const OF_MASKS: ReadonlySet<LabelForm> = new Set([
  "mask-images",
  "dicom-seg",
  "dicom-rtstruct",
  "nifti-masks",
]);

/** Called at most once. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null;
  return () => (made ??= make());
}

async function openTarget(form: LabelForm, { cacheDir, cached, sizePx }: TargetOptions): Promise<Target> {
  switch (form) {
    case "class-table":
      return new ClassTarget(cached, cacheDir);
    case "box-table":
    case "rsna-table":
    case "dicom-sr":
      return new BoxTarget(cached, cacheDir, form !== "dicom-sr");
    case "mask-images":
    case "dicom-seg":
    case "dicom-rtstruct":
    case "nifti-masks":
      return MaskTarget.open(cached, cacheDir, sizePx, form);
  }
}

/** One damaged file costs its own labels. */
async function drain(items: AsyncIterable<LabelItem> | Iterable<LabelItem>, target: Target): Promise<void> {
  const { tally } = target;
  const before = tally.unreadable;
  try {
    for await (const item of items) {
      if (item.kind === "refused") tally.refused += 1;
      else if (item.kind === "unreadable") tally.unreadable += 1;
      else await target.take(item);
    }
  } catch (error) {
    if (!(error instanceof ConsiliumError) || !error.code.startsWith("dicom.")) throw error;
    tally.unreadable += 1;
  }
  await target.endFile?.(tally.unreadable === before);
}

const countsOf = ({
  matched,
  unmatched,
  duplicates,
  conflicts,
  refused,
  unreadable,
}: Tally): LabelCounts => ({
  matched: matched.size,
  unmatched: unmatched.size,
  duplicates,
  conflicts: conflicts.size,
  refused,
  unreadable,
});

function sum(counts: readonly LabelCounts[]): LabelCounts {
  const of = (name: keyof LabelCounts): number => counts.reduce((total, each) => total + each[name], 0);
  return {
    matched: of("matched"),
    unmatched: of("unmatched"),
    duplicates: of("duplicates"),
    conflicts: of("conflicts"),
    refused: of("refused"),
    unreadable: of("unreadable"),
  };
}
