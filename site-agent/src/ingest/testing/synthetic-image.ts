/** Images for tests: what is stored is known, sample by sample. */
import type { Photometric } from "../header/pixel-format.ts";

export interface FixtureImage {
  readonly rows: number;
  readonly columns: number;
  readonly samples: 1 | 3;
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  readonly signed: boolean;
  readonly photometric: Photometric;
  /** Bytes of one frame as uncompressed little endian has them. */
  readonly data: Uint8Array;
}

/** Smooth shapes with some noise, so that codecs have work to do: seeded, so that a failure repeats. */
export function syntheticImage(
  options: Partial<Omit<FixtureImage, "data">> & { readonly seed?: number } = {},
): FixtureImage & { readonly stored: readonly number[] } {
  const image = {
    rows: 40,
    columns: 32,
    samples: 1 as const,
    bitsAllocated: 8 as const,
    signed: false,
    photometric: "MONOCHROME2" as const,
    ...options,
  };
  const bitsStored = options.bitsStored ?? image.bitsAllocated;
  const span = 2 ** bitsStored;
  let state = (options.seed ?? 1) >>> 0;
  const noise = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const stored: number[] = [];
  for (let y = 0; y < image.rows; y++) {
    for (let x = 0; x < image.columns; x++) {
      for (let s = 0; s < image.samples; s++) {
        const wave = 0.5 + 0.35 * Math.sin(x / 5 + s) * Math.cos(y / 7) + 0.1 * noise();
        const level = Math.min(span - 1, Math.max(0, Math.floor(wave * span)));
        stored.push(image.signed ? level - span / 2 : level);
      }
    }
  }
  return { ...image, bitsStored, data: packSamples(stored, image.bitsAllocated), stored };
}

/** Little-endian bytes of samples; those that do not fill whole bytes from the lowest bit up. */
export function packSamples(samples: readonly number[], bitsAllocated: number): Uint8Array {
  if (bitsAllocated % 8 !== 0) {
    const bytes = new Uint8Array(Math.ceil((samples.length * bitsAllocated) / 8));
    for (let bit = 0; bit < samples.length * bitsAllocated; bit++) {
      const sample = samples[Math.floor(bit / bitsAllocated)] ?? 0;
      const value = Math.floor(sample / 2 ** (bit % bitsAllocated)) & 1;
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (value << (bit & 7));
    }
    return bytes;
  }
  const size = bitsAllocated / 8;
  const bytes = new Uint8Array(samples.length * size);
  for (const [i, sample] of samples.entries())
    for (let b = 0; b < size; b++) bytes[i * size + b] = (sample >> (8 * b)) & 0xff;
  return bytes;
}
