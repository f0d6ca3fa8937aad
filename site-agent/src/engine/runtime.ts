/**
 * What runs programs. An engine is the same code on one of several runtimes: ONNX Runtime on some device, or TF.js
 * itself. A runtime keeps weights and moments where it computes, so that they need not travel with each step.
 */
import type { NamedArrays } from "./arrays.ts";
import type { Program } from "./program.ts";

/** Shapes by name, all float32. */
export type ResidentShapes = ReadonlyMap<string, readonly number[]>;
export type ResidentArrays = ReadonlyMap<string, Float32Array>;

export interface Runtime {
  /** For example `onnx/cpu`. */
  readonly name: string;
  /** Arrays of zeros. */
  openWorkspace(resident: ResidentShapes): Workspace<Program>;
}

/** Arrays that stay where a runtime computes, and what was prepared to read and replace them. */
export interface Workspace<Source> {
  /** @throws engine.unsupported-op, engine.data-dependent, engine.dynamic-shape, engine.compile-failed */
  prepare(source: Source, options?: PrepareOptions): Promise<Runnable>;
  /** Copies out. @throws engine.run-failed */
  read(names: readonly string[]): Promise<ResidentArrays>;
  /** Copies in. @throws engine.run-failed */
  write(arrays: ResidentArrays): Promise<void>;
  /** With everything that was prepared. */
  dispose(): Promise<void>;
}

export interface PrepareOptions {
  /**
   * Whether a run may write over the resident arrays that it replaces, before it is committed: the source itself
   * hands back what it got where its effect is to be refused. Saves a second array for each of them.
   */
  readonly overwrite?: boolean;
}

export interface Runnable {
  /**
   * Inputs named like a resident array read that; `inputs` holds all others.
   * @throws engine.run-failed
   */
  run(inputs: NamedArrays): Promise<Attempt>;
}

/** A run whose effect on the resident arrays can still be refused, by not committing it before the next run. */
export interface Attempt {
  /** All outputs but those that replace a resident array. Valid until the next run. */
  readonly outputs: ResidentArrays;
  /** Puts the output `nextName(x)` in the place of the resident array x, for every such output. */
  readonly commit: () => void;
}

const NEXT = "next.";

/** The output that replaces a resident array; ONNX wants inputs and outputs named apart. */
export const nextName = (resident: string): string => NEXT + resident;

/** The resident array that an output replaces, or null. */
export function replacedBy(output: string, resident: { has: (name: string) => boolean }): string | null {
  const name = output.startsWith(NEXT) ? output.slice(NEXT.length) : "";
  return resident.has(name) ? name : null;
}
