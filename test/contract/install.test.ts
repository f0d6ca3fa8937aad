/** The service units start what there is. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
const folder = path.join(root, "deploy/systemd");
const INSTALLED = "/opt/consilium/";

it.each(readdirSync(folder))("%s names a program, a command of it and options that it knows", (unit) => {
  const text = readFileSync(path.join(folder, unit), "utf8");
  const [program = "", command = "", ...rest] = (/^ExecStart=(.*)$/m.exec(text)?.[1] ?? "").split(" ");
  expect(program.startsWith(INSTALLED)).toBe(true);
  const file = path.join(root, program.slice(INSTALLED.length));
  const { stdout, status } = spawnSync(process.execPath, [file, command, "--help"], { encoding: "utf8" });
  expect(status).toBe(0);
  expect(stdout).toMatch(new RegExp(`^Usage: \\S+ ${command} `));
  for (const option of rest.filter((word) => word.startsWith("--"))) expect(stdout).toContain(`${option} <`);
});
