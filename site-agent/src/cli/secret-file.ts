/** Secrets that the command line names and does not hold: whoever may list processes reads command lines. */
import { readFile } from "node:fs";
import { promisify } from "node:util";
import { ConsiliumError } from "@consilium/shared/errors";
import { readOptionFile } from "./tls-files.ts";

const STDIN = 0;

/**
 * @param file `-` is standard input
 * @returns what it holds, without white space around it
 * @throws config.invalid, naming the option and not the file
 */
export async function readSecretFile(option: string, file: string): Promise<string> {
  const bytes = file === "-" ? await promisify(readFile)(STDIN) : await readOptionFile(option, file);
  const secret = bytes.toString("utf8").trim();
  if (/^[\x20-\x7e]+$/.test(secret)) return secret;
  throw new ConsiliumError("config.invalid", {
    detail: `(${option}: the file holds no token)`,
    culprits: [option],
  });
}
