import { expect, it } from "vitest";
import { operationsDocument } from "../docs/error-table.ts";

it("docs/operations.md says of every error code what the table says (npm run docs)", async () => {
  const { is, shouldBe } = await operationsDocument();
  expect(is).toBe(shouldBe);
});
