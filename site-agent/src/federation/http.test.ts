import { ReadableStream } from "node:stream/web";
import { expect, it } from "vitest";
import { z } from "zod";
import { httpClient } from "./http.ts";

const MIB = 1024 * 1024;

/** A coordinator whose replies are this. */
const answering = (make: () => Response) =>
  httpClient("http://coordinator.example/", () => Promise.resolve(make()));
const reply = z.strictObject({ a: z.number() });

it("reads a reply that comes in pieces", async () => {
  const pieces = ["{", '"a"', ":1", "}"].map((text) => new TextEncoder().encode(text));
  const http = answering(() => new Response(ReadableStream.from(pieces)));
  expect(await http.read("x", reply)).toEqual({ a: 1 });
});

it.each([200, 500])("stops reading a reply with status %i that never ends", async (status) => {
  let sentMib = 0;
  let isGivenUp = false;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      sentMib += 1;
      // Not for ever, if nobody stops.
      if (sentMib > 64) controller.close();
      else controller.enqueue(new Uint8Array(MIB).fill(32));
    },
    cancel() {
      isGivenUp = true;
    },
  });
  const http = answering(() => new Response(endless, { status }));
  const code = status === 200 ? "protocol.invalid-message" : "coordinator.unreachable";
  await expect(http.read("x", reply)).rejects.toMatchObject({ code });
  expect(isGivenUp).toBe(true);
  expect(sentMib).toBeLessThan(8);
});

it("takes no reply and one that breaks off for what they are", async () => {
  const nothing = answering(() => new Response(null));
  await expect(nothing.read("x", reply)).rejects.toMatchObject({ code: "protocol.invalid-message" });
  const broken = answering(
    () =>
      new Response(
        new ReadableStream({
          pull(controller) {
            controller.error(new Error("reset"));
          },
        }),
      ),
  );
  await expect(broken.read("x", reply)).rejects.toMatchObject({ code: "coordinator.unreachable" });
});
