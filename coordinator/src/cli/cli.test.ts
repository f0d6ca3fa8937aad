import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import { encodeCheckpoint } from "@consilium/shared/codec";
import { describeError, errorBody, toConsiliumError } from "@consilium/shared/errors";
import { vectorLength, type TensorSpec } from "@consilium/shared/manifest";
import { parseLine } from "@consilium/shared/misuse";
import { parsePlan } from "@consilium/shared/plan";
import { parseToken } from "@consilium/shared/protocol/token";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Coordinator } from "../app.ts";
import { Bench } from "../testing/coordinator.ts";
import { createProgram } from "./program.ts";
import { serve } from "./serve.ts";

const bench = new Bench();
let home: string;
let coordinator: Coordinator;
beforeAll(async () => {
  home = await bench.home();
  coordinator = await bench.start({ home });
});
afterAll(() => bench.end());

/** Runs a command in this process. @returns what it printed */
async function run(...args: readonly string[]): Promise<string> {
  let output = "";
  const program = createProgram({
    defaultHome: home,
    print: (line) => (output += `${line}\n`),
    serve: async (options, terminal) => {
      await (await serve(options, pino({ level: "silent" }), terminal)).close();
    },
  });
  for (const command of [program, ...program.commands])
    command.configureOutput({ writeOut: (text) => (output += text) });
  await parseLine(program, args).catch((error: unknown) => {
    if (!(error instanceof Error && "code" in error && /helpDisplayed|version$/.test(String(error.code))))
      throw error;
  });
  return output;
}

describe("consilium-coordinator", () => {
  it("explains itself", async () => {
    const help = await run("--help");
    for (const name of ["serve", "invite", "plan", "status", "audit"]) expect(help).toContain(name);
    expect(help).toContain("Examples:");
    expect(await run("serve", "--help")).toContain("--plan <file>");
  });

  it("writes a plan with every default, once", async () => {
    const out = path.join(home, "plan.json");
    const args = ["plan", "--federation", "chest", "--title", "Chest", "--rounds", "5", "--min-sites", "3"];
    await run(...args, "--out", out);
    const plan = parsePlan(JSON.parse(await readFile(out, "utf8")));
    expect(plan).toMatchObject({ rounds: 5, minSites: 3, training: { batchSize: 32 } });
    expect(plan).toMatchObject({ privacy: { unit: "none" } });
    const protecting: unknown = JSON.parse(await run(...args, "--target-epsilon", "6", "--delta", "1e-7"));
    expect(protecting).toMatchObject({ privacy: { unit: "patient", targetEpsilon: 6, delta: 1e-7 } });
    const evaluating = parsePlan(JSON.parse(await run(...args, "--evaluate", "normal,pneumonia")));
    expect(evaluating.health?.evaluation?.classes).toEqual(["normal", "pneumonia"]);
    const masks = parsePlan(JSON.parse(await run(...args, "--evaluate-masks", "left_lung,right_lung")));
    expect(masks.health).toMatchObject({ masks: { classes: ["left_lung", "right_lung"], images: 256 } });
    expect(masks.health).not.toHaveProperty("evaluation");
    const taught = [...args, "--pretext", "classify", "--classes", "normal,pneumonia"];
    expect(parsePlan(JSON.parse(await run(...taught)))).toMatchObject({
      pretext: { task: "classify", balanceClasses: true },
      health: { evaluation: { classes: ["normal", "pneumonia"] } },
    });
    expect(parsePlan(JSON.parse(await run(...taught, "--target-epsilon", "8")))).toMatchObject({
      pretext: { balanceClasses: false },
    });
    const of = async (...more: string[]) =>
      parsePlan(JSON.parse(await run(...args, "--classes", "left,right", ...more))).health;
    const named = { classes: ["left", "right"] };
    expect(await of("--pretext", "findings")).toMatchObject({ findings: named, patients: true });
    expect(await of("--pretext", "masks")).toMatchObject({ masks: named });
    expect(await of("--pretext", "masks", "--plain")).not.toHaveProperty("masks");
    await expect(run(...args, "--evaluate", "normal")).rejects.toMatchObject({ code: "plan.invalid" });
    await expect(run(...args, "--delta", "1e-7")).rejects.toMatchObject({ code: "plan.invalid" });
    await expect(run(...args, "--out", out)).rejects.toMatchObject({ code: "config.invalid" });
    await run(...args, "--out", out, "--force");
    const wrong = run("plan", "--federation", "No Good", "--title", "x", "--rounds", "5");
    await expect(wrong).rejects.toMatchObject({ code: "plan.invalid" });
  });

  it("writes a plan that starts from a file, and serves it with that file alone", async () => {
    const fresh = await bench.home();
    const file = (name: string) => path.join(fresh, name);
    const tensor = (name: string, ...shape: number[]) => ({ name, shape, dtype: "float32" as const });
    const checkpoint = (...tensors: TensorSpec[]) =>
      encodeCheckpoint({ manifest: { tensors }, values: new Float32Array(vectorLength({ tensors })) });
    const norm = tensor("blocks.0.norm1.weight", 128);
    const good = checkpoint(norm, tensor("patch_embed.proj.weight", 64, 128));
    await writeFile(file("good.ckpt"), good);
    await writeFile(file("patches.ckpt"), checkpoint(norm, tensor("patch_embed.proj.weight", 16, 128)));
    await writeFile(file("none.ckpt"), checkpoint(tensor("weight", 3)));
    const header = JSON.stringify({ "vit.encoder.layer.0.layernorm_before.weight": { shape: [192] } });
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(header.length));
    await writeFile(file("tiny.safetensors"), Buffer.concat([prefix, Buffer.from(header)]));
    await writeFile(file("text.safetensors"), "no weights");
    const args = ["plan", "--federation", "chest", "--title", "Chest", "--rounds", "5"];
    const from = (name: string, ...more: string[]) => run(...args, "--start-from", file(name), ...more);
    const plan = parsePlan(JSON.parse(await from("good.ckpt", "--start-origin", "knees")));
    const sha256Of = sha256(good);
    expect(plan.start).toEqual({
      sha256: sha256Of,
      bytes: good.length,
      format: "checkpoint",
      origin: "knees",
    });
    const tiny = parsePlan(JSON.parse(await from("tiny.safetensors", "--size", "tiny")));
    expect(tiny.start).toMatchObject({ format: "safetensors", origin: "not stated" });
    const refusals: readonly [string, string, ...string[]][] = [
      ["start.unfit", "good.ckpt", "--size", "small"],
      ["start.unfit", "good.ckpt", "--channels", "3"],
      ["start.unfit", "patches.ckpt"],
      ["start.unfit", "tiny.safetensors"],
      ["weights.foreign", "none.ckpt"],
      ["weights.unreadable", "text.safetensors"],
      ["config.invalid", "absent"],
    ];
    for (const [code, ...rest] of refusals) {
      const [name, ...more] = rest;
      await expect(from(name, ...more), rest.join(" ")).rejects.toMatchObject({ code });
    }
    await expect(run(...args, "--start-origin", "knees")).rejects.toMatchObject({
      culprits: ["startOrigin"],
    });

    await writeFile(file("plan.json"), JSON.stringify(plan));
    const serving = (...more: string[]) =>
      run("serve", "--home", file("home"), "--port", "0", "--plan", file("plan.json"), ...more);
    await expect(serving()).rejects.toMatchObject({ code: "start.missing", culprits: ["chest"] });
    const wrong = serving("--start-from", file("none.ckpt"));
    await expect(wrong).rejects.toMatchObject({ code: "start.missing" });
    expect(await serving("--start-from", file("good.ckpt"))).toContain("Listening");
    // Once is enough, and the sweep at a start leaves it alone.
    expect(await serving()).toContain("Listening");
    expect(await serving()).toContain("Listening");
    const stray = serving("--start-from", file("none.ckpt"));
    await expect(stray).rejects.toMatchObject({ code: "config.invalid", culprits: ["startFrom"] });
  });

  it("writes a plan for volumes, and says what is missing of one", async () => {
    const args = [
      "plan",
      "--federation",
      "ct",
      "--title",
      "CT",
      "--rounds",
      "5",
      "--depth-px",
      "32",
      "--channels",
      "3",
    ];
    const whole = [...args, "--patch-depth-px", "4", "--slice-spacing-mm", "5", "--pixel-spacing-mm", "3"];
    expect(parsePlan(JSON.parse(await run(...whole)))).toMatchObject({
      model: { dimensions: 3, depthPx: 32, patchDepthPx: 4, channels: 3 },
      volume: { depthPx: 32, sliceSpacingMm: 5, pixelSpacingMm: 3 },
    });
    const { culprits } = (await run(...args).catch((error: unknown) => error)) as { culprits: string[] };
    expect(culprits).toEqual(expect.arrayContaining(["volume.sliceSpacingMm", "volume.pixelSpacingMm"]));
  });

  it("invites a site and says where the federation stands", async () => {
    const { token } = JSON.parse(await run("invite", "--site", "north", "--json")) as { token: string };
    expect(parseToken(token)).toMatchObject({ federation: "chest", site: "north" });
    expect(await run("status")).toContain("Waiting for sites to join: 0 of at least 2 enrolled.");
    await expect(run("status", "--federation", "other")).rejects.toMatchObject({
      code: "federation.unknown",
    });
    await expect(run("invite", "--site", "St. Mary's")).rejects.toMatchObject({
      code: "config.invalid",
    });
  });

  it("says where it listens, to people and to machines", async () => {
    const fresh = await bench.home();
    const planFile = path.join(fresh, "plan.json");
    await writeFile(planFile, JSON.stringify({ federation: "chest", title: "T", rounds: 3 }));
    const options = ["serve", "--home", fresh, "--port", "0", "--plan", planFile];
    const first = JSON.parse(await run(...options, "--json")) as Record<string, string>;
    expect(first["event"]).toBe("listening");
    expect(first["dashboardUrl"]).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\?token=/);
    const said = await run(...options);
    expect(said).toMatch(/^Listening on http:\/\/127\.0\.0\.1:/);
    expect(said).toContain(`consilium-coordinator invite --site NAME --home ${fresh}`);
  });

  it("refuses what cannot be served", async () => {
    const fresh = await bench.home();
    const file = (name: string) => path.join(fresh, name);
    await writeFile(file("plan.json"), JSON.stringify({ federation: "chest", title: "T", rounds: 3 }));
    await writeFile(file("broken.json"), "{");
    const start = (...args: readonly string[]) => run("serve", "--home", file("home"), ...args);
    const failures: readonly [string, () => Promise<string>][] = [
      ["home.in-use", () => run("serve", "--port", "0")],
      ["config.invalid", () => start("--port", "0")],
      ["config.invalid", () => start("--port", "0", "--plan", file("broken.json"))],
      ["config.invalid", () => start("--port", "0", "--plan", file("absent.json"))],
      ["config.invalid", () => start("--port", "99999", "--plan", file("plan.json"))],
      ["port.in-use", () => start("--port", new URL(coordinator.url).port, "--plan", file("plan.json"))],
      ["coordinator.unreachable", () => run("status", "--home", file("home"))],
    ];
    for (const [code, failing] of failures) await expect(failing(), code).rejects.toMatchObject({ code });
  });

  it("verifies the audit log", async () => {
    expect(await run("audit", "verify")).toMatch(/^\d+ lines, unbroken/);
    const forged = await bench.home();
    const text = await readFile(path.join(home, "audit.jsonl"), "utf8");
    await writeFile(
      path.join(forged, "audit.jsonl"),
      text.replace("federation.created", "federation.forged"),
    );
    await expect(run("audit", "verify", "--home", forged)).rejects.toMatchObject({
      code: "audit.broken",
      culprits: ["1"],
    });
  });

  it("says what is wrong with a command line, and repeats nothing of it", async () => {
    const misuses: readonly [RegExp, readonly string[]][] = [
      [/no such command/, ["CANARY"]],
      [/no such command\. Did you mean serve\?/, ["serv"]],
      [/no such option/, ["status", "--CANARY"]],
      [/no such option\. Did you mean --federation\?/, ["status", "--federatio", "x"]],
      [/the value of --valid-days <days> is not valid/, ["invite", "--site", "a", "--valid-days", "CANARY"]],
      [/--site <name>/, ["invite"]],
      // What is missing may only be mistyped.
      [/no such option\. Did you mean --site\?/, ["invite", "--sit", "CANARY"]],
      [/--site: use 1 to 63 of a-z, 0-9/, ["invite", "--site", "Hospital CANARY"]],
      [/too many arguments/, ["status", "CANARY"]],
    ];
    for (const [reason, args] of misuses) {
      const failure = toConsiliumError(await run(...args).catch((error: unknown) => error));
      const said = JSON.stringify([describeError(failure), errorBody(failure)]);
      expect(failure.code, args.join(" ")).toBe("config.invalid");
      expect(said).toMatch(reason);
      expect(said).toMatch(/see consilium-coordinator( \w+)? --help|use 1 to 63/);
      expect(said).not.toContain("CANARY");
    }
  });

  it("says its version", async () => {
    expect(await run("--version")).toMatch(/^consilium-coordinator\/\d/);
  });

  it("as a process, says in three lines what is wrong and what to do", async () => {
    const bin = path.resolve(import.meta.dirname, "../../bin/consilium-coordinator.mjs");
    const child = spawn(process.execPath, [bin, "status", "--home", await bench.home()], { stdio: "pipe" });
    let stderr = "";
    child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^.+\n {2}code: config\.invalid\n {2}next: .+\n$/);
  });
});
