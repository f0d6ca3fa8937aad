/** Which kernels of TF.js some code calls while it is traced. */
import * as tf from "../tf.ts";
import { TRACER, registerTracedKernels } from "../tracer/backend.ts";

export function recordKernels(work: () => void): ReadonlySet<string> {
  registerTracedKernels();
  const originals = tf.getKernelsForBackend(TRACER);
  const called = new Set<string>();
  for (const original of originals) {
    replace({
      ...original,
      kernelFunc: (params) => {
        called.add(original.kernelName);
        return original.kernelFunc(params);
      },
    });
  }
  try {
    work();
  } finally {
    originals.forEach(replace);
  }
  return called;
}

function replace(config: tf.KernelConfig): void {
  tf.unregisterKernel(config.kernelName, config.backendName);
  tf.registerKernel(config);
}
