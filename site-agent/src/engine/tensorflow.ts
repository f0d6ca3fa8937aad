/** TF.js on TensorFlow's own library, where the site has installed one of its packages. */
import { ConsiliumError } from "@consilium/shared/errors";
import * as tf from "./tf.ts";
import { activeBackend } from "./tracer/trace.ts";

/** The first that is installed counts. */
export const TENSORFLOW_PACKAGES = ["@tensorflow/tfjs-node-gpu", "@tensorflow/tfjs-node"] as const;

/** The name under which the packages register themselves with TF.js. */
export const TENSORFLOW_BACKEND = "tensorflow";

export interface TensorFlow {
  readonly packageName: string;
  readonly usesGpu: boolean;
}

/** Null where none is installed. */
export const installedTensorFlow = (): string | null => TENSORFLOW_PACKAGES.find(isInstalled) ?? null;

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** @throws engine.unavailable where none is installed, or its native part does not load */
export async function openTensorFlow(): Promise<TensorFlow> {
  const packageName = installedTensorFlow();
  if (packageName === null) throw unavailable(`${TENSORFLOW_PACKAGES.join(" or ")} is not installed`);
  const previous = activeBackend();
  try {
    // By a variable: the package is optional, and types must not ask for it.
    await import(packageName);
  } catch (error) {
    const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    throw unavailable(
      `${packageName} does not load: ${line.replaceAll(/( at path:)?\s*\S*\/\S*/g, "").trim()}`,
      error,
    );
  }
  // The package makes itself TF.js' active backend.
  if (typeof previous === "string") await tf.setBackend(previous);
  // TF.js' declaration hides that there may be none.
  const backend: unknown = tf.findBackend(TENSORFLOW_BACKEND);
  if (backend === null) throw unavailable(`${packageName} works on another copy of TF.js than this software`);
  return { packageName, usesGpu: (backend as { isUsingGpuDevice?: unknown }).isUsingGpuDevice === true };
}

const unavailable = (detail: string, cause?: unknown): ConsiliumError =>
  new ConsiliumError("engine.unavailable", { detail: `(${detail})`, culprits: ["tensorflow"], cause });
