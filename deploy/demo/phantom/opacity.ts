/** Soft consolidations: the finding that the demo's classifier looks for. */
import type { Random } from "../../../site-agent/src/dataset/random.ts";
import type { Physique, Pose } from "./anatomy.ts";
import { fractalNoise, smoothstep, type Field } from "./noise.ts";
import { heartThickness, lungThickness } from "./organs.ts";

export interface Opacity {
  readonly u: number;
  readonly v: number;
  readonly radiusU: number;
  readonly radiusV: number;
  readonly angle: number;
  /** Path length added where the lung is full; a rib adds about 0.1. */
  readonly density: number;
}

/** One to three opacities in one lung, or now and then in both. */
export function drawOpacities(random: Random, physique: Physique, pose: Pose): Opacity[] {
  const draw = random.uniform();
  const count = draw < 0.25 ? 1 : draw < 0.6 ? 2 : draw < 0.85 ? 3 : 4;
  const density = 0.35 + 0.35 * random.uniform();
  const bilateral = random.uniform() < 0.6;
  const side = random.uniform() < 0.55 ? -1 : 1;
  return Array.from({ length: count }, (_, i) => {
    const { u, v } = placeInLung(random, physique, pose, bilateral && i % 2 === 1 ? -side : side);
    const radius = 0.26 + 0.22 * random.uniform();
    return {
      u,
      v,
      radiusU: radius * (0.8 + 0.4 * random.uniform()),
      radiusV: radius * (0.8 + 0.5 * random.uniform()),
      angle: Math.PI * random.uniform(),
      density: density * (0.75 + 0.5 * random.uniform()),
    };
  });
}

/** A point well inside the lung of one side (-1 is the patient's right), away from the heart. */
function placeInLung(random: Random, physique: Physique, pose: Pose, side: number): { u: number; v: number } {
  for (let attempt = 0; attempt < 200; attempt++) {
    const u = side * (0.15 + 0.6 * random.uniform());
    // Consolidations like the middle and lower zones.
    const v = -0.45 + 0.9 * Math.sqrt(random.uniform());
    if (lungThickness(physique, pose, u, v) > 0.7 && heartThickness(physique, pose, u, v) < 0.2)
      return { u, v };
  }
  return { u: side * 0.42, v: 0 };
}

/** The opacity's density over the body, cloudy and with a ragged rim. */
export function opacityField(opacity: Opacity, random: Random): Field {
  const rim = fractalNoise(random, 5, 3, 0.6);
  const cloud = fractalNoise(random, 13, 2, 0.6);
  const cos = Math.cos(opacity.angle);
  const sin = Math.sin(opacity.angle);
  return (u, v) => {
    const x = u - opacity.u;
    const y = v - opacity.v;
    const distance = Math.sqrt(
      ((cos * x + sin * y) / opacity.radiusU) ** 2 + ((cos * y - sin * x) / opacity.radiusV) ** 2,
    );
    if (distance > 1.8) return 0;
    const core = smoothstep(1.25, 0.35, distance + 0.45 * rim(u, v));
    return opacity.density * core * (1 + 0.4 * cloud(u, v));
  };
}
