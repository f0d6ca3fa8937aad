/** Global models, and those that plans start from, by hash, whole or in part. Sealed updates are not for download, not even for operators. */
import { Readable } from "node:stream";
import { ConsiliumError } from "@consilium/shared/errors";
import { sha256Schema } from "@consilium/shared/ids";
import type { FastifyPluginCallbackZod } from "@fastify/type-provider-zod";
import { z } from "zod";
import type { Blobs, ByteRange } from "../blobs/blobs.ts";
import { isStart } from "../governance/starting-model.ts";
import type { Store } from "../store/store.ts";
import type { Access } from "./access.ts";

export function blobRoutes(ports: {
  readonly store: Store;
  readonly blobs: Blobs;
  readonly access: Access;
}): FastifyPluginCallbackZod {
  const { store, blobs, access } = ports;
  return (app, _options, done) => {
    app.get(
      "/api/blobs/:sha256",
      {
        schema: {
          summary:
            "A global model, or the one that a plan starts from, named by its SHA-256; Range is understood",
          tags: ["sites", "operators"],
          params: z.strictObject({ sha256: sha256Schema }),
          produces: ["application/octet-stream"],
        },
      },
      async (request, reply) => {
        const session = access.memberOrOperator(request);
        const { sha256 } = request.params;
        const owner = session?.federation ?? null;
        const isThere =
          (await store.isCheckpoint(sha256, owner)) ||
          (await store.isAverage(sha256, owner)) ||
          (await isStart(store, sha256, owner));
        if (!isThere) throw new ConsiliumError("blob.unknown");
        const sizeBytes = await blobs.sizeOf(sha256);
        if (sizeBytes === null) throw new ConsiliumError("blob.unknown");
        void reply
          .header("content-type", "application/octet-stream")
          .header("accept-ranges", "bytes")
          .header("etag", `"${sha256}"`)
          .header("cache-control", "private, max-age=31536000, immutable");
        const range = parseRange(request.headers.range, sizeBytes);
        if (range === "unsatisfiable") {
          return reply.status(416).header("content-range", `bytes */${sizeBytes}`).send();
        }
        if (range !== null) {
          void reply.status(206);
          void reply.header("content-range", `bytes ${range.start}-${range.end - 1}/${sizeBytes}`);
        }
        const { start, end } = range ?? { start: 0, end: sizeBytes };
        void reply.header("content-length", end - start);
        return reply.send(Readable.from(blobs.read(sha256, { start, end }), { objectMode: false }));
      },
    );
    done();
  };
}

/**
 * One byte range as in RFC 9110, section 14.1.2; several, or another unit, are answered with the whole.
 * @returns null for the whole object
 */
export function parseRange(
  header: string | undefined,
  sizeBytes: number,
): ByteRange | "unsatisfiable" | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (match === null) return null;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return null;
  const start = first === "" ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = first === "" || last === "" ? sizeBytes : Math.min(sizeBytes, Number(last) + 1);
  return start < end ? { start, end } : "unsatisfiable";
}
