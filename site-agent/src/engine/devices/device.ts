/** Where a step can run, and what is known of it. */

/** `tensorflow` is TF.js on TensorFlow itself, which the site has installed; the others are ONNX Runtime's. */
export const DEVICES = ["cuda", "tensorflow", "webgpu", "cpu"] as const;
export type Device = (typeof DEVICES)[number];

/** `auto` takes the first of DEVICES that is here and is hardware. */
export const WANTED_DEVICES = ["auto", ...DEVICES] as const;
export type WantedDevice = (typeof WANTED_DEVICES)[number];

/** `mixed` multiplies matrices in float16; weights, moments, sums and everything else stay float32. */
export const PRECISIONS = ["float32", "mixed"] as const;
export type Precision = (typeof PRECISIONS)[number];

/** How a first small computation went. */
export type Trial =
  | {
      readonly usable: true;
      /** What computes, for people: `NVIDIA H100`, `SwiftShader`. */
      readonly name: string;
      /** Null where that cannot be told. */
      readonly hardware: boolean | null;
      /** Whether it multiplies float16. */
      readonly half: boolean;
    }
  | { readonly usable: false; readonly reason: string };

export const absent = (reason: string): Trial => ({ usable: false, reason });

/** It is always here; whether ONNX Runtime computes on it is another matter (`tryProcessor`). */
export const PROCESSOR: Trial = { usable: true, name: "CPU", hardware: true, half: false };

export interface DeviceChoice {
  readonly device: Device;
  readonly name: string;
  readonly half: boolean;
  /** Devices that `auto` would have preferred, and why it did not take them. */
  readonly passedOver: readonly { readonly device: Device; readonly reason: string }[];
}
