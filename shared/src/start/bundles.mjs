// Where the bundle of a program or thread is kept, and whether it is of the sources as they are now. See docs/adr/0033.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/**
 * @typedef {object} Place
 * @property {string} folder of all bundles of a package
 * @property {string} name of this bundle's index, and what its folder's name begins with
 */

/** Name of what is run, inside a bundle's folder. */
export const MAIN = "main.mjs";

/**
 * Below the package's own node_modules, from where Node.js finds the libraries that a bundle leaves outside.
 *
 * @param {URL} main the TypeScript file that is to run
 * @returns {Place}
 */
export function placeOf(main) {
  const file = fileURLToPath(main);
  const owner = packageOf(file);
  const own = path.relative(owner, file);
  const short = createHash("sha256").update(own).digest("hex").slice(0, 8);
  return {
    folder: path.join(owner, "node_modules", ".cache", "consilium"),
    name: `${path.basename(file, ".ts")}-${short}`,
  };
}

/** @param {string} file @returns {string} the nearest folder with a package.json */
export function packageOf(file) {
  let folder = path.dirname(file);
  while (!existsSync(path.join(folder, "package.json"))) {
    const parent = path.dirname(folder);
    if (parent === folder) throw new Error("no package");
    folder = parent;
  }
  return folder;
}

/**
 * The hash that a bundle goes by: of where its program lies and of every byte that went into it.
 *
 * @param {URL} main
 * @param {readonly string[]} inputs relative to the bundles' folder
 * @param {(input: string) => Uint8Array} read
 */
export function keyOf(main, inputs, read) {
  const hash = createHash("sha256").update(JSON.stringify([main.href, inputs]));
  for (const input of inputs) {
    const bytes = read(input);
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest("hex").slice(0, 32);
}

/**
 * The bundle of these very sources: every file that went into it is read again and compared by content.
 *
 * @param {URL} main
 * @returns {URL | null} null where there is none
 */
export function findBundle(main) {
  try {
    const { folder, name } = placeOf(main);
    const { key, inputs } = JSON.parse(readFileSync(path.join(folder, `${name}.json`), "utf8"));
    if (keyOf(main, inputs, (input) => readFileSync(path.join(folder, input))) !== key) return null;
    const bundle = path.join(folder, `${name}-${key}`, MAIN);
    return existsSync(bundle) ? pathToFileURL(bundle) : null;
  } catch {
    // No index, or a source that is gone.
    return null;
  }
}
