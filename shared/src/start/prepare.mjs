// Makes the bundles of programs, and of all that they start, ahead of time: `node shared/src/start/prepare.mjs MAIN.ts...`.
// Who may only read an installation starts from these.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { stop } from "esbuild";
import { makeWithScripts } from "./make-bundle.mjs";

const prepared = new Map();

/** @param {URL} main */
function prepare(main) {
  const known = prepared.get(main.href);
  if (known !== undefined) return known;
  const preparing = makeWithScripts(main).then(({ scripts }) => Promise.all(scripts.map(prepare)));
  prepared.set(main.href, preparing);
  return preparing;
}

await Promise.all(process.argv.slice(2).map((main) => prepare(pathToFileURL(resolve(main)))));
await stop();
