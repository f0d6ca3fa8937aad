/** What every socket message goes through: its shape is checked, its answer is typed, and its errors are from the table. */
import { ConsiliumError, errorBody, toConsiliumError } from "@consilium/shared/errors";
import type { Ack } from "@consilium/shared/protocol/events";
import type { Logger } from "pino";
import type { z } from "zod";
import type { Counted } from "../counted.ts";

/** @throws protocol.invalid-message, naming the fields and none of their values */
export function parseMessage<T extends z.ZodType>(schema: T, message: unknown): z.infer<T> {
  const parsed = schema.safeParse(message);
  if (parsed.success) return parsed.data;
  const culprits = parsed.error.issues.map(({ path }) => path.join("."));
  throw new ConsiliumError("protocol.invalid-message", { culprits });
}

/** Where refusals are told. */
export interface RefusalPorts {
  readonly logger: Logger;
  readonly counted: Pick<Counted, "refused">;
}

/** Answers through the acknowledgement; a message that cannot be answered is not acted on. */
export function answer<T extends object>(
  ack: unknown,
  { logger, counted }: RefusalPorts,
  action: () => Promise<T> | T,
): void {
  if (!isAck<T>(ack)) return;
  void (async () => {
    try {
      ack({ ok: true, ...(await action()) });
    } catch (error) {
      const known = toConsiliumError(error);
      const level = known.code === "internal" ? "error" : "info";
      logger[level]({ code: known.code, culprits: known.culprits, ...stackOf(known) }, "message refused");
      counted.refused("socket", known.code);
      ack({ ok: false, error: errorBody(known) });
    }
  })();
}

function isAck<T extends object>(value: unknown): value is Ack<T> {
  return typeof value === "function";
}

/** Where an unexpected error comes from: for the log alone, and without its text. */
export function stackOf({ code, cause }: ConsiliumError): { readonly stack?: string } {
  if (code !== "internal" || !(cause instanceof Error) || cause.stack === undefined) return {};
  const frames = cause.stack.split("\n").filter((line) => line.startsWith("    at "));
  return { stack: [cause.name, ...frames].join("\n") };
}
