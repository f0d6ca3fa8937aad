/**
 * Randomness on which privacy rests: the noise, and who is in a batch. It comes from AES-256-CTR under a key that the
 * system's generator made for this object alone and that is written nowhere. Whoever could repeat it would subtract it.
 */
import { createCipheriv, randomBytes, type Cipher } from "node:crypto";

const BLOCK_BYTES = 1 << 16;
const ZEROS = new Uint8Array(BLOCK_BYTES);

export class SecureRandom {
  readonly #cipher: Cipher;
  #words = new Uint32Array();
  #next = 0;

  /** @param key 32 bytes; only tests give one */
  constructor(key: Uint8Array = randomBytes(32)) {
    this.#cipher = createCipheriv("aes-256-ctr", key, new Uint8Array(16));
  }

  /** Uniform in 0 .. 2^32 - 1. */
  uint32(): number {
    if (this.#next === this.#words.length) this.#refill();
    return this.#words[this.#next++] ?? 0;
  }

  #refill(): void {
    const bytes = this.#cipher.update(ZEROS);
    // A copy, for a Uint32Array has to begin at a multiple of four.
    this.#words = new Uint32Array(new Uint8Array(bytes).buffer);
    this.#next = 0;
  }

  /** Uniform in [0, 1), 53 bits. */
  uniform(): number {
    return ((this.uint32() >>> 5) * 0x400_0000 + (this.uint32() >>> 6)) / 2 ** 53;
  }

  /** Uniform integer in 0 .. bound - 1, without modulo bias. */
  below(bound: number): number {
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound);
    for (;;) {
      const value = this.uint32();
      if (value < limit) return value % bound;
    }
  }

  /**
   * Independent normal numbers of mean 0 (Marsaglia and Tsang 2000, in the form of Doornik 2005), worked out in float64
   * and rounded to float32 once. The grid of floating-point numbers is not hidden (Mironov 2012); see docs/privacy.md.
   */
  fillNormal(out: Float32Array, stdDev: number): void {
    for (let i = 0; i < out.length; i++) out[i] = stdDev * this.#normal();
  }

  /**
   * A whole number, with probability proportional to exp(-k^2 / 2 stdDev^2) (Canonne, Kamath and Steinke 2020). A normal
   * number is rounded, and refused as often as rounding made it too likely: the mass between k - 1/2 and k + 1/2 is
   * the density at k times 1 + (k^2 / stdDev^4 - 1 / stdDev^2) / 24, but for terms of stdDev^-4.
   * @param stdDev 64 or more: then these terms are below 1e-8 times the ones that are seen to
   */
  discreteNormal(stdDev: number): number {
    if (!(stdDev >= 64)) throw new RangeError("a discrete normal number needs a standard deviation of 64");
    const variance = stdDev * stdDev;
    for (;;) {
      const k = Math.round(stdDev * this.#normal());
      const excess = ((k * k) / variance - 1) / (24 * variance);
      if (this.uniform() * (1 + excess) < 1 - 1 / (24 * variance)) return k;
    }
  }

  #normal(): number {
    for (;;) {
      const high = this.uint32();
      const low = this.uint32();
      const u = ((high >>> 5) * 0x400_0000 + (low >>> 6)) / 2 ** 52 - 1;
      // The bits that the 53 of u leave over choose the layer.
      const layer = ((high & 31) << 2) | (low & 3);
      const edge = EDGES[layer] ?? 0;
      const inner = EDGES[layer + 1] ?? 0;
      const x = u * edge;
      if (Math.abs(x) < inner) return x;
      if (layer === 0) return u < 0 ? -this.#tail() : this.#tail();
      const above = Math.exp(-0.5 * (edge * edge - x * x));
      const below = Math.exp(-0.5 * (inner * inner - x * x));
      if (below + this.uniform() * (above - below) < 1) return x;
    }
  }

  /** Beyond the last layer (Marsaglia 1964). */
  #tail(): number {
    for (;;) {
      const x = -Math.log(1 - this.uniform()) / TAIL;
      const y = -Math.log(1 - this.uniform());
      if (2 * y >= x * x) return TAIL + x;
    }
  }
}

const LAYERS = 128;
/** Where the tail begins, and the area of each layer. */
const TAIL = 3.442619855899;
const AREA = 9.91256303526217e-3;

/** Right edges of the layers from the base up; the base's is that of a rectangle with the tail's area added. */
const EDGES = edges();

function edges(): Float64Array {
  const density = (x: number): number => Math.exp(-0.5 * x * x);
  const found = new Float64Array(LAYERS + 1);
  found[0] = AREA / density(TAIL);
  let edge = TAIL;
  for (let i = 1; i < LAYERS; i++) {
    found[i] = edge;
    edge = Math.sqrt(-2 * Math.log(AREA / edge + density(edge)));
  }
  return found;
}
