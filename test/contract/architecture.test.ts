/** Holds the rules of docs/architecture.md: who may import whom, and how long a file may grow. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
const MAX_LINES = 400;

interface SourceFile {
  readonly file: string;
  readonly text: string;
  /** Imported modules; relative ones as paths from the root, `@consilium/x/y` as `x/src/y`. */
  readonly imports: readonly string[];
}

/** Tests, contract suites that tests run, and what only they use. */
const isTest = (file: string) => /\.(test|contract)\.ts$|\/testing\//.test(file);

function sources(folder: string): SourceFile[] {
  return readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .filter((file) => !/(^|\/)(node_modules|dist)\//.test(file))
    .map((file) => {
      const text = readFileSync(path.join(root, file), "utf8");
      const imports = ts
        .preProcessFile(text, true, true)
        .importedFiles.map(({ fileName }) => resolveImport(file, fileName));
      return { file, text, imports };
    });
}

function resolveImport(from: string, name: string): string {
  if (name.startsWith(".")) return path.normalize(path.join(path.dirname(from), name));
  return name.replace(/^@consilium\/([^/]+)\//, "$1/src/");
}

/** Every import of a matching file that the rule does not allow, as "file -> import". */
function violations(
  files: readonly SourceFile[],
  forbidden: (imported: string, file: string) => boolean,
): string[] {
  return files.flatMap(({ file, imports }) =>
    imports.filter((imported) => forbidden(imported, file)).map((imported) => `${file} -> ${imported}`),
  );
}

const shared = sources("shared/src");
const coordinator = sources("coordinator/src");
const dashboard = sources("coordinator/dashboard");
const site = sources("site-agent/src");
const deploy = sources("deploy");
const helpers = sources("test");
const product = (files: readonly SourceFile[]) => files.filter(({ file }) => !isTest(file));

describe("imports", () => {
  it("finds the rooms at all", () => {
    for (const room of [shared, coordinator, dashboard, site, deploy, helpers])
      expect(room.length).toBeGreaterThan(3);
  });

  it("shared imports neither application", () => {
    expect(violations(shared, (name) => /^(coordinator|site-agent)\//.test(name))).toEqual([]);
  });

  it("nothing but tests imports what is for tests", () => {
    const all = [...shared, ...coordinator, ...dashboard, ...site];
    expect(violations(product(all), (name) => isTest(name))).toEqual([]);
  });

  it("nothing but tests imports from test/ or deploy/, and deploy/ nothing from test/", () => {
    const rooms = [...shared, ...coordinator, ...dashboard, ...site];
    expect(violations(product(rooms), (name) => /^(test|deploy)\//.test(name))).toEqual([]);
    expect(violations(product(deploy), (name) => name.startsWith("test/"))).toEqual([]);
  });

  it("tests take helpers from other suites, and what writes the docs, and nothing else; common helpers take nothing", () => {
    const suite = (name: string) => /^test\/([^/]+)\//.exec(name)?.[1] ?? null;
    const isHelper = (name: string) => /^test\/(docs|support|[^/]+\/support)\//.test(name);
    const foreign = (name: string, file: string) =>
      suite(name) !== null && suite(name) !== suite(file) && !isHelper(name);
    const everywhere = [...shared, ...coordinator, ...dashboard, ...site, ...deploy, ...helpers];
    expect(violations(everywhere, foreign)).toEqual([]);
    const common = helpers.filter(({ file }) => file.startsWith("test/support/"));
    expect(violations(common, (name) => name.startsWith("test/") && suite(name) !== "support")).toEqual([]);
  });

  it("neither application imports the other", () => {
    expect(violations(product(coordinator), (name) => name.startsWith("site-agent/"))).toEqual([]);
    expect(violations(product(site), (name) => name.startsWith("coordinator/"))).toEqual([]);
  });

  it("the coordinator imports no machine learning", () => {
    expect(violations(coordinator, (name) => /^(@tensorflow\/|onnxruntime)/.test(name))).toEqual([]);
  });

  it("only engine, model, pretext and downstream import TensorFlow.js", () => {
    const rooms = /^site-agent\/src\/(engine|model|pretext|downstream)\//;
    const isTensorFlow = (name: string) => name.startsWith("@tensorflow/") || name.endsWith("engine/tf.ts");
    expect(violations(product(site), (name, file) => isTensorFlow(name) && !rooms.test(file))).toEqual([]);
  });

  it("only engine/providers imports ONNX Runtime", () => {
    const providers = "site-agent/src/engine/providers/";
    expect(
      violations(product(site), (name, file) => name === "onnxruntime-node" && !file.startsWith(providers)),
    ).toEqual([]);
  });

  it("the dashboard imports only the browser-safe part of shared", () => {
    const safe =
      /^shared\/src\/(protocol\/|plan-schema|plan-leaves|strategy-schema|pretext-words|health\/|evaluation\/schema|units|ids|crypto\/signed)/;
    expect(violations(dashboard, (name) => name.startsWith("shared/") && !safe.test(name))).toEqual([]);
    const reachable =
      /^shared\/src\/(protocol\/(http|round|version)|plan-schema|plan-leaves|encoder-sizes|fingerprint\/layout|strategy-schema|pretext-\w+|health\/\w+|evaluation\/schema|label-text|units|ids|crypto\/signed)\.ts$/;
    expect(
      violations(
        shared.filter(({ file }) => reachable.test(file)),
        (name) => name.startsWith("node:") || name === "tweetnacl",
      ),
    ).toEqual([]);
  });

  it("shared touches neither disk nor network", () => {
    const impure = /^node:(fs|net|http|https|tls|child_process|dgram)/;
    expect(violations(product(shared), (name) => impure.test(name))).toEqual([]);
  });
});

describe("files", () => {
  const all = [...shared, ...coordinator, ...dashboard, ...site];
  const everything = [...all, ...deploy, ...helpers];

  it("only main.ts reads the process", () => {
    const offenders = product(all)
      .filter(({ file }) => !/\/main\.tsx?$/.test(file))
      .filter(({ text }) => /\bprocess\.(argv|env|exit|on|stdin|stdout|stderr|cwd)\b/.test(text));
    expect(offenders.map(({ file }) => file)).toEqual([]);
  });

  it(`stay under ${MAX_LINES} lines`, () => {
    const long = everything.filter(({ text }) => text.split("\n").length > MAX_LINES);
    expect(long.map(({ file }) => file)).toEqual([]);
  });

  it("switch no rule off", () => {
    const switches = new RegExp(
      [
        "eslint" + "-disable",
        "@ts" + "-ignore",
        "@ts" + "-nocheck",
        "\\bas" + " any\\b(?!\\s+(?!as\\b)[a-z])",
      ].join("|"),
    );
    expect(everything.filter(({ text }) => switches.test(text)).map(({ file }) => file)).toEqual([]);
  });
});
