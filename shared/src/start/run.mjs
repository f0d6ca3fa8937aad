// Runs a TypeScript file in this process or thread.
import { findBundle } from "./bundles.mjs";

/**
 * From a bundle of exactly these sources where there is one or one can be kept; else file by file, through tsx.
 *
 * @param {URL} main
 */
export async function run(main) {
  const bundle = findBundle(main) ?? (await made(main));
  if (bundle !== null) {
    process.setSourceMapsEnabled(true);
    return import(bundle.href);
  }
  const { register } = await import("tsx/esm/api");
  register();
  return import(main.href);
}

/** A folder that nobody may write to is no reason not to start, and what is wrong with a source tsx says best. */
async function made(main) {
  try {
    const [{ makeBundle }, { stop }] = await Promise.all([import("./make-bundle.mjs"), import("esbuild")]);
    const bundle = await makeBundle(main);
    await stop();
    return bundle;
  } catch {
    return null;
  }
}
