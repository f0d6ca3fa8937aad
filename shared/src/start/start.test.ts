import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { scriptArguments } from "../threads.ts";

let root: string;
let main: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "consilium-start-"));
  await put("package.json", '{ "type": "module" }');
  main = await put("src/main.ts", 'import { word } from "./word.ts";\nconsole.log(word as string);\n');
  await put("src/word.ts", 'export const word: string = "one";\n');
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function put(file: string, content: string): Promise<string> {
  const place = path.join(root, file);
  await mkdir(path.dirname(place), { recursive: true });
  await writeFile(place, content);
  return place;
}

const command = (): string[] => [...scriptArguments(pathToFileURL(main))];

async function said(...args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(process.execPath, [...command(), ...args])).stdout.trim();
}

/** What is kept, of which program. */
const kept = async (): Promise<string[]> =>
  (await readdir(path.join(root, "node_modules/.cache/consilium")))
    .map((name) => name.replace(/-.*/, ""))
    .sort();

it("is from what the sources say now, though a file looks as it did", async () => {
  expect(await said()).toBe("one");
  expect(await kept()).toEqual(["main", "main"]);
  const word = path.join(root, "src/word.ts");
  const { atime, mtime } = await stat(word);
  await put("src/word.ts", 'export const word: string = "two";\n');
  await utimes(word, atime, mtime);
  expect(await said()).toBe("two");
  await put("package.json", '{ "type": "module", "version": "2.0.0" }');
  expect(await said()).toBe("two");
  expect(await kept()).toHaveLength(4);
});

it("ends with what is wrong with a source, as if there were no bundle", async () => {
  expect(await said()).toBe("one");
  await put("src/word.ts", "export const word = ;\n");
  await expect(said()).rejects.toThrow("word.ts");
  await rm(path.join(root, "src/word.ts"));
  await expect(said()).rejects.toThrow("word.ts");
});

it("is whole when several start at once, for the first time", async () => {
  expect(await Promise.all([said(), said(), said()])).toEqual(["one", "one", "one"]);
  expect(await kept()).toEqual(["main", "main"]);
  // For everyone who may read the sources.
  const folder = path.join(root, "node_modules/.cache/consilium");
  const modes = await Promise.all(
    ["src", ...(await readdir(folder)).map((name) => path.relative(root, path.join(folder, name)))].map(
      async (name) => (await stat(path.join(root, name))).mode & 0o444,
    ),
  );
  expect(new Set(modes).size).toBe(1);
});

it("is made again where a bundle is gone", async () => {
  await said();
  const folder = path.join(root, "node_modules/.cache/consilium");
  for (const name of await readdir(folder))
    if (!name.endsWith(".json")) await rm(path.join(folder, name), { recursive: true });
  expect(await said()).toBe("one");
  expect(await kept()).toEqual(["main", "main"]);
});

it("needs no folder that it may write to", async () => {
  await put("node_modules", "a file");
  expect(await said()).toBe("one");
});

it("gives scripts their arguments, and sources the place where they lie", async () => {
  const lines = [
    'import path from "node:path";',
    "const args: string[] = process.argv.slice(2);",
    'const file = new URL("./beside.txt", import.meta.url).pathname;',
    "console.log(JSON.stringify([args, file, path.basename(import.meta.dirname)]));",
  ];
  await put("src/main.ts", lines.join("\n"));
  expect(JSON.parse(await said("a", "b"))).toEqual([["a", "b"], path.join(root, "src/beside.txt"), "src"]);
});

it("names the line of the source that threw", async () => {
  await put("src/word.ts", '\n\nthrow new Error("no word");\nexport const word = "";\n');
  await expect(said()).rejects.toThrow("src/word.ts:3:7");
});

it("ends as a failure if nothing is left to wait for before the program's end", async () => {
  const launch = pathToFileURL(path.resolve(import.meta.dirname, "../launch.mjs")).href;
  const program = await put(
    "bin.mjs",
    `import { launch } from "${launch}";\nlaunch(new URL("./src/main.ts", import.meta.url));\n`,
  );
  const start = (): Promise<unknown> => promisify(execFile)(process.execPath, [program]);
  await expect(start()).resolves.toMatchObject({ stdout: "one\n" });
  await put("src/word.ts", "await new Promise(() => undefined);\nexport const word = 1;\n");
  await expect(start()).rejects.toMatchObject({ code: 13 });
});

it("gives each source the library that lies nearest to it", async () => {
  const library = (place: string, version: number): Promise<string>[] => [
    put(`${place}/node_modules/lib/package.json`, '{ "type": "module", "exports": "./index.js" }'),
    put(`${place}/node_modules/lib/index.js`, `export const version = ${version};\n`),
  ];
  await Promise.all([...library(".", 1), ...library("other", 2)]);
  await put("other/package.json", '{ "type": "module" }');
  await put("other/main.ts", 'export { version as other } from "lib";\n');
  await put(
    "src/main.ts",
    'import { version } from "lib";\nimport { other } from "../other/main.ts";\nconsole.log(version, other);\n',
  );
  expect(await said()).toBe("1 2");
});

it("has zod inside, unless a library that it loads takes zod's objects", async () => {
  await put("node_modules/zod/package.json", '{ "type": "module", "exports": "./index.js" }');
  await put("node_modules/zod/index.js", "globalThis.copies = (globalThis.copies ?? 0) + 1;\n");
  const taker = '{ "type": "module", "exports": "./index.js", "peerDependencies": { "zod": "*" } }';
  await put("node_modules/taker/package.json", taker);
  await put("node_modules/taker/index.js", 'import "zod";\n');
  await put(
    "src/main.ts",
    'import "zod";\nimport "./word.ts";\nconsole.log((globalThis as { copies?: number }).copies);\n',
  );
  expect(await said()).toBe("1");
  await put("node_modules/zod/index.js", "globalThis.copies = 3;\n");
  expect(await said()).toBe("3");
  await put("node_modules/zod/index.js", "globalThis.copies = (globalThis.copies ?? 0) + 1;\n");
  await put("src/word.ts", 'import "taker";\n');
  expect(await said()).toBe("1");
});

it("loads what is asked for later from the sources that it was started with", async () => {
  await put(
    "src/main.ts",
    'process.stdin.once("data", async () => console.log((await import("./word.ts")).word));\nconsole.error("here");\n',
  );
  const child = spawn(process.execPath, command(), { stdio: "pipe" });
  const answer = text(child.stdout);
  await once(child.stderr, "data");
  await put("src/word.ts", 'export const word: string = "two";\n');
  child.stdin.end("go");
  expect(await answer).toBe("one\n");
});
