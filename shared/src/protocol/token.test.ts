import { expect, it } from "vitest";
import { enrolmentTokenSchema, formatToken, parseToken } from "./token.ts";

const token = enrolmentTokenSchema.parse({
  federation: "lungs",
  site: "hospital-a",
  coordinator: { signingKey: "s".repeat(43), sealingKey: "t".repeat(43) },
  secret: "u".repeat(43),
});

it("survives being copied by hand with white space around it", () => {
  expect(parseToken(`  ${formatToken(token)}\n`)).toEqual(token);
});

it("is refused when it is not whole, without being repeated in the error", () => {
  for (const text of ["", "x", formatToken(token).slice(0, -1), `${formatToken(token)}.x`]) {
    expect(() => parseToken(text)).toThrow(
      expect.objectContaining({ code: "enrolment.token-unknown" }) as Error,
    );
  }
});
