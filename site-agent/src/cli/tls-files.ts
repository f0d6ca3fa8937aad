/** Certificates and keys for connections with a PACS or the coordinator, from the files that the command line names. */
import { readFile } from "node:fs/promises";
import { ConsiliumError } from "@consilium/shared/errors";

export interface TlsFileOptions {
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
}

export interface TlsFiles {
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly ca?: Buffer;
}

/**
 * @param kept where the files lie that were given before, instead of those that are not given now
 * @throws config.invalid, naming the option and not the file
 */
export async function readTlsFiles(options: TlsFileOptions, kept: TlsFileOptions = {}): Promise<TlsFiles> {
  const files: { -readonly [name in keyof TlsFiles]: TlsFiles[name] } = {};
  for (const name of ["cert", "key", "ca"] as const) {
    const file = options[name] ?? kept[name];
    if (file === undefined || file === "") continue;
    const where = options[name] === undefined ? "the file that was given before" : "the file";
    files[name] = await readOptionFile(`--${name}`, file, where);
  }
  if ((files.cert === undefined) !== (files.key === undefined)) {
    throw new ConsiliumError("config.invalid", {
      detail: "(--cert and --key belong together)",
      culprits: ["--cert", "--key"],
    });
  }
  return files;
}

/** @throws config.invalid, naming the option and not the file */
export async function readOptionFile(option: string, file: string, where = "the file"): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new ConsiliumError("config.invalid", {
      detail: `(${option}: ${where} cannot be read)`,
      culprits: [option],
      cause,
    });
  }
}
