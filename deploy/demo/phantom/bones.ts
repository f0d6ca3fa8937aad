/** Spine, ribs, clavicles and shoulder blades: what each adds along the ray through (u, v). */
import type { Physique } from "./anatomy.ts";
import { smoothstep } from "./noise.ts";
import { cageHalfWidth } from "./organs.ts";

export function bones(physique: Physique, u: number, v: number): number {
  return spine(physique, u, v) + ribs(physique, u, v) + clavicles(physique, u, v) + scapula(physique, u, v);
}

/** Vertebral bodies with discs between them. */
function spine({ spineContrast, ribSpacing }: Physique, u: number, v: number): number {
  const body = smoothstep(0.098, 0.075, Math.abs(u));
  if (body === 0) return 0;
  const phase = v / (0.95 * ribSpacing);
  const disc = smoothstep(0.36, 0.47, Math.abs(phase - Math.round(phase)));
  const pedicle = smoothstep(0.022, 0.008, Math.abs(Math.abs(u) - 0.058)) * (1 - disc);
  return spineContrast * body * (0.8 - 0.4 * disc + 0.25 * pedicle);
}

/** Cross-section of a long bone at distance d from its axis: a tube with a dense rim. */
function tube(d: number, halfWidth: number): number {
  const t = Math.abs(d) / halfWidth;
  if (t >= 1) return 0;
  return 0.65 * Math.sqrt(1 - t * t) + 0.5 * smoothstep(0.5, 0.8, t) * smoothstep(1, 0.88, t);
}

/** Posterior arcs from the spine outwards and down; fainter anterior arcs from the side inwards and down. */
function ribs(physique: Physique, u: number, v: number): number {
  const { ribSpacing, ribStart, ribContrast, ribSlope } = physique;
  const across = Math.abs(u);
  const cage = cageHalfWidth(physique, v) + 0.02;
  if (across > cage || across < 0.07 || v > 0.95) return 0;
  const edge = across / cage;
  // Rays along the cage's side meet more bone.
  const limb = 1 + 0.9 * (edge * edge) ** 4;
  const posterior = (v - ribStart - ribSlope * across ** 2 * 1.5 + 0.12 * Math.sin(4 * across)) / ribSpacing;
  const anterior = (v - ribStart - 0.1 - 0.75 * (0.8 - across)) / (ribSpacing * 1.05);
  const back = tube((posterior - Math.round(posterior)) * ribSpacing, 0.032) * (posterior > -0.5 ? 1 : 0);
  const front =
    tube((anterior - Math.round(anterior)) * ribSpacing, 0.04) *
    smoothstep(0.22, 0.5, across) *
    (anterior > -0.5 && anterior < 6.5 ? 1 : 0);
  return ribContrast * limb * (back * smoothstep(0.9, 0.4, v) + 0.55 * front);
}

function clavicles({ clavicleSlope, ribContrast }: Physique, u: number, v: number): number {
  const t = (Math.abs(u) - 0.07) / 0.72;
  if (t < 0 || t > 1) return 0;
  const axis = -0.5 - clavicleSlope * t + 0.035 * Math.sin(2 * Math.PI * t);
  return 1.5 * ribContrast * tube(v - axis, 0.034 - 0.01 * Math.sin(Math.PI * t)) * smoothstep(1, 0.95, t);
}

/** The blade's medial border, outside the lungs. */
function scapula({ ribContrast, cageWidth }: Physique, u: number, v: number): number {
  const border = cageWidth - 0.02 + 0.16 * (v + 0.2) ** 2;
  const blade =
    smoothstep(border - 0.015, border + 0.02, Math.abs(u)) *
    smoothstep(border + 0.3, border + 0.1, Math.abs(u));
  return 0.8 * ribContrast * blade * smoothstep(-0.62, -0.5, v) * smoothstep(0.15, 0, v);
}
