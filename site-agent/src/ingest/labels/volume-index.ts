/** The volumes of a folder and where each of their slices lies, put together from headers as ingest does: for masks that are drawn on slices. */
import { createHash } from "node:crypto";
import { ConsiliumError } from "@consilium/shared/errors";
import { contentKey } from "../../dataset/keys.ts";
import { isNifti, NIFTI_ENDING, walkFiles, type FoundFile } from "../folder.ts";
import type { SourceVolume } from "../volume/grid.ts";
import { compositionOf, groupSlices, type Stack } from "../volume/group.ts";
import { openNifti, readNiftiFile } from "../volume/nifti.ts";
import { lookAtDicom, sourceOf } from "../volume/read-volume.ts";
import type { Slice } from "../volume/slice.ts";
import { times } from "../volume/vector.ts";
import type { ImageGeometry, ImageIndex, NamedVolume, Triple } from "./geometry.ts";

export interface IndexedVolume {
  /** As the cache has it. */
  readonly key: string;
  readonly source: SourceVolume;
  /** See Stack; null for NIfTI, too. */
  readonly shifts: Stack["shifts"];
  /** Which slices these are; null for NIfTI, whose key says it. */
  readonly composition: string | null;
}

export interface SlicePlace {
  readonly volume: IndexedVolume;
  readonly slice: number;
}

/** The names of slices are keys of images, of one frame among several `key/frame`, of NIfTI `key/slice`. */
export interface VolumeIndex extends ImageIndex {
  readonly slices: ReadonlyMap<string, SlicePlace>;
  readonly volumes: ReadonlyMap<string, IndexedVolume>;
}

/**
 * Reads the headers below a folder, and NIfTI files as a whole. What cannot be read is left out: ingest has counted it.
 * @throws ingest.folder-missing; the signal's reason
 */
export async function indexVolumes(
  folder: string,
  secret: Uint8Array,
  signal?: AbortSignal,
): Promise<VolumeIndex> {
  const index = new Builder();
  const slices: Slice[] = [];
  for await (const file of walkFiles(folder)) {
    signal?.throwIfAborted();
    if (isNifti(file)) index.addNifti(file, secret);
    else {
      const found = lookAtDicom(file, secret);
      if (found.outcome === "slices") slices.push(...found.slices);
    }
  }
  for (const stack of groupSlices(slices).stacks) index.addStack(stack);
  return index;
}

class Builder implements VolumeIndex {
  readonly images = new Map<string, ImageGeometry>();
  readonly series = new Map<string, string[]>();
  readonly patients = new Map<string, readonly string[]>();
  readonly files = new Map<string, NamedVolume | null>();
  readonly slices = new Map<string, SlicePlace>();
  readonly volumes = new Map<string, IndexedVolume>();

  addStack(stack: Stack): void {
    const { key, slices, shifts } = stack;
    const volume = { key, source: sourceOf(stack), shifts, composition: compositionOf(stack) };
    this.volumes.set(key, volume);
    const names = slices.map((slice, place) => {
      const { rows, columns, geometry } = slice;
      const { position, alongColumns, alongRows, pixelSpacing } = geometry;
      const [rowMm, columnMm] = pixelSpacing;
      const plane = {
        position,
        alongRow: times(alongColumns, columnMm),
        alongColumn: times(alongRows, rowMm),
      };
      return this.#addSlice(nameOf(slice), { rows, columns, plane }, { volume, slice: place });
    });
    const { series } = slices[0];
    this.series.set(series, [...(this.series.get(series) ?? []), ...names]);
  }

  addNifti(file: FoundFile, secret: Uint8Array): void {
    try {
      const bytes = readNiftiFile(file.path);
      const key = contentKey(secret, createHash("sha256").update(bytes).digest("hex"));
      const { source, affine } = openNifti(bytes);
      const [slices, rows, columns] = source.counts;
      const volume = { key, source, shifts: null, composition: null };
      this.volumes.set(key, volume);
      // DICOM counts to the left and to the back, NIfTI to the right and to the front.
      const along = (axis: number): Triple => {
        const at = (row: number): number => affine[row]?.[axis] ?? NaN;
        return [-at(0), -at(1), at(2)];
      };
      const [alongRow, alongColumn, up, origin] = [along(0), along(1), along(2), along(3)];
      const names = Array.from({ length: slices }, (_, slice) => {
        const on = (axis: 0 | 1 | 2): number => origin[axis] + slice * up[axis];
        const plane = { position: [on(0), on(1), on(2)] as const, alongRow, alongColumn };
        return this.#addSlice(`${key}/${slice}`, { rows, columns, plane }, { volume, slice });
      });
      this.#addFile(file.relativePath, { key, slices: names });
    } catch (error) {
      if (!(error instanceof ConsiliumError)) throw error;
    }
  }

  #addSlice(image: string, geometry: Omit<ImageGeometry, "image">, place: SlicePlace): string {
    this.images.set(image, { image, ...geometry });
    this.slices.set(image, place);
    return image;
  }

  /** By its path and by its name alone; a name that several have names none. */
  #addFile(relativePath: string, volume: NamedVolume): void {
    const path = relativePath.replace(NIFTI_ENDING, "");
    const name = path.split("/").at(-1) ?? path;
    if (name !== path) this.files.set(path, volume);
    // nnU-Net numbers the channels of an image, and names masks without.
    for (const one of new Set([name, name.replace(/_0000$/, "")]))
      this.files.set(one, this.files.has(one) ? null : volume);
  }
}

/** Frames of a file that is a volume by itself share its key. */
const nameOf = ({ key, series, frame }: Slice): string => (key === series ? `${key}/${frame}` : key);
