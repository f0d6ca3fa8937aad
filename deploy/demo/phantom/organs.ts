/** Soft tissue and air: the depth of each organ along the ray through (u, v). */
import type { Physique, Pose } from "./anatomy.ts";
import { lerp, smoothstep } from "./noise.ts";

/** Neck, shoulders and trunk, front to back. */
export function bodyThickness({ shoulderWidth, waistWidth, depth }: Physique, u: number, v: number): number {
  const shoulders = lerp(0.26, shoulderWidth, smoothstep(-1.02, -0.62, v));
  const width = lerp(shoulders, waistWidth, smoothstep(-0.5, 0.15, v));
  const across = Math.abs(u) / width;
  if (across >= 1) return 0;
  const front = lerp(0.55, 1, smoothstep(-0.95, -0.2, v));
  return depth * front * Math.sqrt(1 - across * across * Math.sqrt(across));
}

/** Half-width of the inner rib cage at height v. */
export function cageHalfWidth({ cageWidth }: Physique, v: number): number {
  if (v > 0.42) return cageWidth * (1 - 0.12 * (v - 0.42));
  const t = (v - 0.42) / 1.16;
  return cageWidth * Math.sqrt(Math.max(0, 1 - t * t));
}

/** Height of the diaphragm over u, for the side that u lies on. */
function diaphragm(pose: Pose, u: number): number {
  const right = u < 0;
  const top = (right ? 0.3 : 0.37) + pose.inspiration - (right ? pose.rightRise : pose.leftRise);
  const dome = right ? pose.rightDome : pose.leftDome;
  const t = (Math.abs(u) - 0.34) / 0.4;
  return top + dome * t * t * (t > 0 ? 1.35 : 0.6);
}

/** Aerated depth, 0 to 1, the heart not yet taken off. */
export function lungThickness(physique: Physique, pose: Pose, u: number, v: number): number {
  const lateral = cageHalfWidth(physique, v) - 0.02;
  const medial = 0.11 + 0.05 * smoothstep(-0.5, 0, v) + (u < 0 ? -pose.turn : pose.turn);
  const width = lateral - medial;
  if (width <= 0.02) return 0;
  const across = (Math.abs(u) - medial) / width;
  if (across <= 0 || across >= 1) return 0;
  const centred = (2 * across - 1) ** 2;
  const profile = Math.sqrt(1 - centred * centred);
  const base = smoothstep(0.015, -0.05, v - diaphragm(pose, u));
  const apex = smoothstep(-0.72, -0.5, v);
  return profile * base * lerp(0.5, 1, apex);
}

/** 0 to 1: the heart with the right atrium beside the spine. */
export function heartThickness(
  { heartWidth, heartTilt }: Physique,
  pose: Pose,
  u: number,
  v: number,
): number {
  const left = ellipse(
    u - 0.13 - pose.turn,
    v - 0.2 - 0.4 * pose.inspiration,
    0.33 * heartWidth,
    0.24,
    heartTilt,
  );
  const atrium = ellipse(u + 0.06 - pose.turn, v - 0.16 - 0.4 * pose.inspiration, 0.16 * heartWidth, 0.22, 0);
  return (
    Math.max(smoothstep(1.06, 0.88, left), smoothstep(1.1, 0.85, atrium)) *
    Math.sqrt(Math.max(0.2, 1.1 - left ** 2))
  );
}

/** Relative distance from an ellipse's centre: 1 on its rim. */
function ellipse(x: number, y: number, a: number, b: number, angle: number): number {
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  return Math.sqrt(((cos * x + sin * y) / a) ** 2 + ((cos * y - sin * x) / b) ** 2);
}

/** Great vessels, aortic knob, hila; the trachea as a dark band. */
export function mediastinum({ aorta }: Physique, { turn }: Pose, u: number, v: number): number {
  const column =
    smoothstep(0.15, 0.08, Math.abs(u - turn)) * smoothstep(-0.85, -0.45, v) * smoothstep(0.7, 0.3, v);
  const knob = smoothstep(1.15, 0.7, ellipse(u - 0.11 - turn, v + 0.26, 0.075 * aorta, 0.09 * aorta, 0));
  const hilum = smoothstep(1.2, 0.3, ellipse(Math.abs(u) - 0.19, v + (u < 0 ? -0.02 : 0.04), 0.08, 0.13, 0));
  const trachea =
    smoothstep(0.05, 0.025, Math.abs(u - 1.5 * turn)) * smoothstep(-1.1, -0.9, v) * smoothstep(-0.2, -0.3, v);
  return 0.14 * column + 0.13 * knob + 0.13 * hilum - 0.13 * trachea;
}

/** Soft tissue over both lower lungs, sharp below and fading above. */
export function breast({ breast: density }: Physique, u: number, v: number): number {
  if (density === 0) return 0;
  const d = ellipse(Math.abs(u) - 0.46, v - 0.24, 0.32, 0.3, 0);
  return density * smoothstep(1.02, 0.94, d) * smoothstep(-0.15, 0.35, v);
}

/** Gas in the stomach, under the left diaphragm. */
export function gas(pose: Pose, u: number, v: number): number {
  if (pose.gasBubble === 0) return 0;
  const below = diaphragm(pose, 0.34) + pose.gasBubble + 0.05;
  return 0.35 * smoothstep(1.1, 0.8, ellipse(u - 0.3, v - below, 1.4 * pose.gasBubble, pose.gasBubble, 0.1));
}
