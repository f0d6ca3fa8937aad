/** Certificates and keys for connections with a PACS, from the files that the command line names. */
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

/** @throws config.invalid, naming the option and not the file */
export async function readTlsFiles(options: TlsFileOptions): Promise<TlsFiles> {
  const files: { -readonly [name in keyof TlsFiles]: TlsFiles[name] } = {};
  for (const name of ["cert", "key", "ca"] as const) {
    const file = options[name];
    if (file !== undefined) files[name] = await readOptionFile(`--${name}`, file);
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
export async function readOptionFile(option: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new ConsiliumError("config.invalid", {
      detail: `(${option}: the file cannot be read)`,
      culprits: [option],
      cause,
    });
  }
}
