/** The part of dcmjs that is used: it has no types of its own. Its loggers are silenced, for they quote what they choke on. */
import { createRequire } from "node:module";

/** Attributes under their keywords; sequences are arrays of the same. */
export interface NaturalDataset {
  readonly [keyword: string]: unknown;
}

interface Logger {
  disableAll(): void;
}

interface Dcmjs {
  readonly log: Logger & { getLoggers(): Readonly<Record<string, Logger>> };
  readonly data: {
    readonly DicomMessage: {
      readFile(
        bytes: ArrayBuffer,
        options: { readonly ignoreErrors: boolean; readonly untilTag: string },
      ): { readonly dict: object };
    };
    readonly DicomMetaDictionary: { naturalizeDataset(dict: object): NaturalDataset };
    datasetToDict(dataset: NaturalDataset): { write(): ArrayBuffer };
  };
}

let loaded: Dcmjs | null = null;

export function dcmjs(): Dcmjs {
  if (loaded !== null) return loaded;
  loaded = createRequire(import.meta.url)("dcmjs") as Dcmjs;
  loaded.log.disableAll();
  for (const logger of Object.values(loaded.log.getLoggers())) logger.disableAll();
  return loaded;
}
