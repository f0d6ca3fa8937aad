/** Where blobs are, as a value that can be posted to a worker thread. */
import { ConsiliumError } from "@consilium/shared/errors";

export type BlobsLocation =
  | { readonly kind: "files"; readonly root: string }
  | {
      readonly kind: "s3";
      readonly bucket: string;
      /** Empty, or ends with a slash. */
      readonly prefix: string;
      readonly endpoint: string | null;
      readonly region: string | null;
      /** The bucket in the path instead of the host's name. */
      readonly pathStyle: boolean;
      /** A folder for objects whose name is not known yet. */
      readonly spool: string;
    };

/**
 * @param text `s3://BUCKET/PREFIX`, with `endpoint`, `region` and `path-style` as a query; null for files in the home folder
 * @throws config.invalid
 */
export function parseBlobsLocation(
  text: string | null,
  folders: { readonly root: string; readonly spool: string },
): BlobsLocation {
  if (text === null) return { kind: "files", root: folders.root };
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol !== "s3:" || url.hostname === "" || url.username !== "") {
    const detail = "(--blobs is s3://BUCKET/PREFIX?endpoint=URL&region=NAME; keys come from the environment)";
    throw new ConsiliumError("config.invalid", { detail, culprits: ["blobs"] });
  }
  const known = new Set(["endpoint", "region", "path-style"]);
  const foreign = [...url.searchParams.keys()].filter((name) => !known.has(name));
  if (foreign.length > 0) {
    throw new ConsiliumError("config.invalid", {
      detail: "(--blobs knows endpoint, region and path-style)",
      culprits: foreign,
    });
  }
  const prefix = url.pathname.replace(/^\/+|\/+$/g, "");
  const endpoint = url.searchParams.get("endpoint");
  return {
    kind: "s3",
    bucket: url.hostname,
    prefix: prefix === "" ? "" : `${prefix}/`,
    endpoint,
    region: url.searchParams.get("region"),
    pathStyle: (url.searchParams.get("path-style") ?? (endpoint === null ? "no" : "yes")) !== "no",
    spool: folders.spool,
  };
}
