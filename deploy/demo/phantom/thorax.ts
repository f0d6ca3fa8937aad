/**
 * The chest as path lengths: how much tissue each ray crosses, organ by organ, in units of the trunk's middle.
 * Nothing here knows about pixels of a detector, noise or vendors; see film.ts for those.
 */
import type { Random } from "../../../site-agent/src/dataset/random.ts";
import type { Physique, Pose } from "./anatomy.ts";
import { bones } from "./bones.ts";
import { fractalNoise } from "./noise.ts";
import { opacityField, type Opacity } from "./opacity.ts";
import { bodyThickness, breast, gas, heartThickness, lungThickness, mediastinum } from "./organs.ts";
import { drawVessels } from "./vessels.ts";

export interface Projection {
  readonly rows: number;
  readonly columns: number;
  /** Path length of each pixel, row-major; 0 is air. */
  readonly path: Float32Array;
  /** 0 outside, 1 the patient's right lung (on the image's left), 2 the left lung. */
  readonly lungs: Uint8Array;
  /** What the opacities add to `path`; all zero for a normal chest. */
  readonly opacity: Float32Array;
}

/** Half of the picture's width in body units; its height follows from the pixels' squareness. */
const FIELD_OF_VIEW = 0.95;

export interface Chest {
  readonly physique: Physique;
  readonly pose: Pose;
  readonly opacities: readonly Opacity[];
}

export function project(chest: Chest, rows: number, columns: number, random: Random): Projection {
  const { physique, pose } = chest;
  const path = new Float32Array(rows * columns);
  const lungs = new Uint8Array(rows * columns);
  const opacity = new Float32Array(rows * columns);
  const vessels = drawVessels(physique.vesselSeed, 128);
  const parenchyma = fractalNoise(random, 11, 2, 0.6);
  const muscle = fractalNoise(random, 2.5, 2);
  const opacities = chest.opacities.map((each) => opacityField(each, random));
  const cos = Math.cos(pose.rotation);
  const sin = Math.sin(pose.rotation);
  const unit = (2 * FIELD_OF_VIEW) / (columns * pose.scale);

  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const x = (column + 0.5 - columns / 2) * unit - pose.shiftU;
      const y = (row + 0.5 - rows / 2) * unit - pose.shiftV;
      const u = cos * x + sin * y;
      const v = cos * y - sin * x;
      const index = row * columns + column;

      const body = bodyThickness(physique, u, v);
      if (body <= 0) continue;
      const lung = lungThickness(physique, pose, u, v);
      const heart = heartThickness(physique, pose, u, v);
      const aerated = lung * (1 - 0.75 * heart);
      let added = 0;
      let air = 0;
      if (aerated > 0.02) {
        for (const field of opacities) added = Math.max(added, field(u, v));
        // Filled airspaces hide the vessels and leave the airways dark in them (air bronchograms).
        const vessel = physique.vesselContrast * vessels(u, v) * (1 - 3 * Math.min(added, 0.6));
        air = aerated * (0.6 - vessel - 0.045 * parenchyma(u, v));
      }
      opacity[index] = added * aerated;
      path[index] =
        body * (1 + 0.05 * muscle(u, v)) +
        0.3 * heart +
        mediastinum(physique, pose, u, v) +
        bones(physique, u, v) +
        breast(physique, u, v) -
        air +
        added * aerated -
        gas(pose, u, v);
      if (lung > 0.35 && heart < 0.5) lungs[index] = u < 0 ? 1 : 2;
    }
  }
  return { rows, columns, path, lungs, opacity };
}
