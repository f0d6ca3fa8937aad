// Makes the bundle of a program or thread: all of the project's own TypeScript in a few files. Libraries stay outside, but one.
import { randomUUID } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { keyOf, MAIN, packageOf, placeOf } from "./bundles.mjs";

const UNFINISHED = "unfinished-";
/** Bundles of other sources are kept for a while: what was started from one still loads parts of it. */
const KEPT_MS = 7 * 24 * 3600 * 1000;

/**
 * @param {URL} main the TypeScript file that is to run
 * @returns {Promise<URL>} what to run instead
 * @throws where nothing can be written, or the sources are no good: whoever runs them from source is told
 */
export async function makeBundle(main) {
  return (await makeWithScripts(main)).bundle;
}

/**
 * @param {URL} main
 * @returns {Promise<{ bundle: URL, scripts: URL[] }>} the scripts of threads and processes as well that it may start
 */
export async function makeWithScripts(main) {
  const { folder, name } = placeOf(main);
  mkdirSync(folder, { recursive: true });
  // With the rights of any new folder: who installs it is seldom who runs it.
  const made = path.join(folder, `${UNFINISHED}${randomUUID()}`);
  mkdirSync(made);
  try {
    const { sources, scripts, files } = await bundle(main, made);
    const inputs = [...sources.keys()].sort();
    const key = keyOf(main, inputs, (input) => sources.get(input));
    const finished = path.join(folder, `${name}-${key}`);
    // All of it is on the disk before it has its name.
    await Promise.all([...files, made].map(flush));
    try {
      renameSync(made, finished);
    } catch (error) {
      // Of several that start at once, another was first.
      if (!existsSync(path.join(finished, MAIN))) throw error;
    }
    const index = `${made}.json`;
    writeFileSync(index, JSON.stringify({ key, inputs }), { flush: true });
    renameSync(index, path.join(folder, `${name}.json`));
    discardOld(folder, name, finished);
    return { bundle: pathToFileURL(path.join(finished, MAIN)), scripts };
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

/** A hundred small files, in nearly everything that is started. */
const INSIDE = "zod";

/**
 * @param {URL} main
 * @param {string} outdir
 * @param {string | null} inside the library that goes into the bundle
 * @returns {Promise<{ sources: Map<string, Uint8Array>, scripts: URL[], files: string[] }>} the bytes that went in, by
 * their place as seen from the bundles' folder; what they start; the files that came out
 */
async function bundle(main, outdir, inside = INSIDE) {
  const folder = path.dirname(outdir);
  const sources = new Map();
  const scripts = [];
  const outside = new Set();
  const { metafile } = await build({
    entryPoints: [{ in: fileURLToPath(main), out: path.basename(MAIN, ".mjs") }],
    outdir,
    outExtension: { ".js": ".mjs" },
    absWorkingDir: folder,
    bundle: true,
    // A command that is asked for is loaded alone.
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    conditions: [],
    keepNames: true,
    tsconfigRaw: { compilerOptions: { target: "es2023", verbatimModuleSyntax: true } },
    sourcemap: true,
    sourcesContent: false,
    define: { "import.meta.url": "ownUrl", "import.meta.dirname": "ownFolder" },
    plugins: [ownSources(folder, sources, scripts), librariesOutside(folder, inside, outside)],
    metafile: true,
    logLevel: "silent",
  });
  // What libraries are given of it has to be of the copy that they know themselves.
  if (inside !== null && [...outside].some((home) => takes(home, inside))) {
    rmSync(outdir, { recursive: true });
    return bundle(main, outdir, null);
  }
  return { sources, scripts, files: Object.keys(metafile.outputs).map((file) => path.join(folder, file)) };
}

/** How a source names a script that it starts. */
const SCRIPT = /new URL\("(\.[^"]+\.ts)", import\.meta\.url\)/g;
const LOADERS = { ".ts": "ts", ".mjs": "js", ".js": "js", ".json": "json" };

/** Reads the sources, keeps what it read, and tells each where it lies: threads, pages and WebAssembly are found by that. */
function ownSources(folder, sources, scripts) {
  const keep = (file) => {
    const bytes = readFileSync(file);
    sources.set(path.relative(folder, file), bytes);
    return bytes;
  };
  return {
    name: "own-sources",
    setup({ onLoad }) {
      // How a bundle is made, and where which libraries lie, goes into its key as well.
      keep(import.meta.filename);
      const installed = homeOf(".package-lock.json", folder);
      if (installed !== null) keep(installed);
      onLoad({ filter: /.*/ }, ({ path: file }) => {
        const loader = LOADERS[path.extname(file)];
        if (loader === undefined) return undefined;
        const contents = keep(file).toString("utf8");
        const owner = path.join(packageOf(file), "package.json");
        if (!sources.has(path.relative(folder, owner))) keep(owner);
        if (!contents.includes("import.meta.")) return { contents, loader };
        const named = [...contents.matchAll(SCRIPT)].map(
          ([, script]) => new URL(script, pathToFileURL(file)),
        );
        // Comments name some that are examples.
        scripts.push(...named.filter((script) => existsSync(script)));
        const lie = `const ownUrl = ${JSON.stringify(pathToFileURL(file).href)}, ownFolder = ${JSON.stringify(path.dirname(file))};`;
        return { contents: `${lie} ${contents}`, loader };
      });
    },
  };
}

/** Leaves libraries to Node.js, and sees to it that it finds those that each source would have found. */
function librariesOutside(folder, inside, outside) {
  const asked = Symbol("asked");
  return {
    name: "libraries-outside",
    setup({ onResolve, resolve }) {
      onResolve({ filter: /^[^./]/ }, async ({ path: name, resolveDir, kind, pluginData }) => {
        if (kind === "entry-point" || pluginData === asked) return undefined;
        const library = /^(@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? name;
        if (library === inside || name.startsWith("@consilium/")) return undefined;
        const home = homeOf(library, resolveDir);
        if (home !== null) outside.add(home);
        if (home === homeOf(library, folder)) return { path: name, external: true };
        const found = await resolve(name, { resolveDir, kind, pluginData: asked });
        if (found.errors.length > 0) return { path: name, external: true };
        return { path: pathToFileURL(found.path).href, external: true };
      });
    },
  };
}

/** Where Node.js finds a library, or null. */
function homeOf(library, from) {
  for (let folder = from; ; folder = path.dirname(folder)) {
    const home = path.join(folder, "node_modules", library);
    if (existsSync(home)) return home;
    if (folder === path.dirname(folder)) return null;
  }
}

function takes(home, library) {
  const { dependencies, peerDependencies } = JSON.parse(
    readFileSync(path.join(home, "package.json"), "utf8"),
  );
  return library in { ...dependencies, ...peerDependencies };
}

async function flush(file) {
  const handle = await open(file, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function discardOld(folder, name, current) {
  const before = Date.now() - KEPT_MS;
  for (const entry of readdirSync(folder)) {
    const file = path.join(folder, entry);
    if (file === current || !(entry.startsWith(`${name}-`) || entry.startsWith(UNFINISHED))) continue;
    if ((statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? before) >= before) continue;
    // Never half of one under its name.
    const doomed = path.join(folder, `${UNFINISHED}${entry}`);
    renameSync(file, doomed);
    rmSync(doomed, { recursive: true, force: true });
  }
}
