/** `npm run docs` writes the parts of the documentation that follow from the program. */
import { writeFile } from "node:fs/promises";
import { OPERATIONS_FILE, operationsDocument } from "./error-table.ts";

const { is, shouldBe } = await operationsDocument();
if (is !== shouldBe) await writeFile(OPERATIONS_FILE, shouldBe);
console.log(is === shouldBe ? "docs/operations.md is up to date" : "docs/operations.md written");
