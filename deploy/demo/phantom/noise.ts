/** Smooth random fields and the two curves that everything soft in a phantom is made of. */
import type { Random } from "../../../site-agent/src/dataset/random.ts";

/** A point of the plane in units that the caller chooses; the value is about -1 to 1. */
export type Field = (x: number, y: number) => number;

/** Hermite step from 0 at `low` to 1 at `high`; falls instead of rising if `low` exceeds `high`. */
export function smoothstep(low: number, high: number, x: number): number {
  const t = Math.min(1, Math.max(0, (x - low) / (high - low)));
  return t * t * (3 - 2 * t);
}

export const lerp = (from: number, to: number, t: number): number => from + (to - from) * t;

const LATTICE = 32;

/** Value noise (Perlin's lattice with cubic interpolation) of period 32 and wavelength about 1. */
function valueNoise(random: Random): Field {
  const lattice = Float32Array.from({ length: LATTICE * LATTICE }, () => 2 * random.uniform() - 1);
  return (x, y) => {
    const x0 = Math.floor(x);
    const y0 = Math.floor(y);
    const tx = (x - x0) * (x - x0) * (3 - 2 * (x - x0));
    const ty = (y - y0) * (y - y0) * (3 - 2 * (y - y0));
    const left = x0 & (LATTICE - 1);
    const right = (x0 + 1) & (LATTICE - 1);
    const upper = (y0 & (LATTICE - 1)) * LATTICE;
    const lower = ((y0 + 1) & (LATTICE - 1)) * LATTICE;
    const top = lerp(lattice[upper + left] ?? 0, lattice[upper + right] ?? 0, tx);
    const bottom = lerp(lattice[lower + left] ?? 0, lattice[lower + right] ?? 0, tx);
    return lerp(top, bottom, ty);
  };
}

/** Octaves of value noise, each with twice the frequency and `gain` times the height of the one before. */
export function fractalNoise(random: Random, frequency: number, octaves: number, gain = 0.5): Field {
  const noise = valueNoise(random);
  // Offsets keep the octaves' lattices from meeting at the origin.
  const offsets = Array.from({ length: octaves }, () => ({
    x: LATTICE * random.uniform(),
    y: LATTICE * random.uniform(),
  }));
  const norm = (1 - gain ** octaves) / (1 - gain);
  return (x, y) => {
    let sum = 0;
    let height = 1;
    let scale = frequency;
    for (const offset of offsets) {
      sum += height * noise(x * scale + offset.x, y * scale + offset.y);
      height *= gain;
      scale *= 2;
    }
    return sum / norm;
  };
}
