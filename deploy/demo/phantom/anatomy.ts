/**
 * One made-up patient: every length that varies between people and between two pictures of the same person.
 *
 * Lengths are in body units: u runs from the patient's right (-1, on the image's left) to the left, v from the neck (-1)
 * down to the upper abdomen (1); the widest half of the rib cage is about 0.78.
 */
import type { Random } from "../../../site-agent/src/dataset/random.ts";

/** The person: the same in each of their pictures. */
export interface Physique {
  readonly shoulderWidth: number;
  readonly waistWidth: number;
  readonly cageWidth: number;
  readonly depth: number;
  readonly heartWidth: number;
  readonly heartTilt: number;
  readonly aorta: number;
  readonly ribSpacing: number;
  readonly ribStart: number;
  readonly ribContrast: number;
  readonly ribSlope: number;
  readonly clavicleSlope: number;
  readonly spineContrast: number;
  /** Density of the breast or chest muscle over the lower lungs; 0 for none. */
  readonly breast: number;
  readonly vesselContrast: number;
  /** Seeds the vessel tree, so that it stays the same between two pictures. */
  readonly vesselSeed: number;
}

/** The picture: how the person stood and breathed, and how much dose there was. */
export interface Pose {
  readonly rotation: number;
  readonly scale: number;
  readonly shiftU: number;
  readonly shiftV: number;
  /** How far the trunk is turned about its long axis: the mediastinum moves against the spine. */
  readonly turn: number;
  /** Downward shift of both diaphragms with inspiration. */
  readonly inspiration: number;
  /** How much higher a half of the diaphragm stands under a lung that has lost volume. */
  readonly rightRise: number;
  readonly leftRise: number;
  readonly rightDome: number;
  readonly leftDome: number;
  /** Radius of the stomach's gas bubble; 0 for none. */
  readonly gasBubble: number;
  /** Relative number of quanta; low is noisy. */
  readonly dose: number;
  /** Path length that the display maps to middle grey, relative. */
  readonly exposure: number;
}

const between = (random: Random, low: number, high: number): number => low + (high - low) * random.uniform();

export function drawPhysique(random: Random): Physique {
  return {
    shoulderWidth: between(random, 0.98, 1.08),
    waistWidth: between(random, 0.8, 0.98),
    cageWidth: between(random, 0.7, 0.82),
    depth: between(random, 0.92, 1.12),
    heartWidth: between(random, 0.85, 1.2),
    heartTilt: between(random, 0.25, 0.65),
    aorta: between(random, 0.7, 1.25),
    ribSpacing: between(random, 0.135, 0.17),
    ribStart: between(random, -0.72, -0.64),
    ribContrast: between(random, 0.1, 0.18),
    ribSlope: between(random, 0.28, 0.46),
    clavicleSlope: between(random, 0.08, 0.24),
    spineContrast: between(random, 0.16, 0.3),
    breast: random.uniform() < 0.35 ? between(random, 0.04, 0.12) : 0,
    vesselContrast: between(random, 0.16, 0.28),
    vesselSeed: random.uint32(),
  };
}

export function drawPose(random: Random): Pose {
  return {
    rotation: 0.03 * random.normal(),
    scale: between(random, 0.97, 1.1),
    shiftU: 0.03 * random.normal(),
    shiftV: -0.02 + 0.035 * random.normal(),
    turn: 0.025 * random.normal(),
    inspiration: between(random, -0.08, 0.06),
    rightRise: 0,
    leftRise: 0,
    rightDome: between(random, 0.16, 0.27),
    leftDome: between(random, 0.14, 0.25),
    gasBubble: random.uniform() < 0.5 ? between(random, 0.06, 0.15) : 0,
    dose: Math.exp(between(random, Math.log(0.5), Math.log(2))),
    exposure: between(random, 0.93, 1.1),
  };
}
