/**
 * zod compiles parsers with `new Function` unless told not to; the page's content security policy forbids that.
 * Imported first by main.tsx, because schemas read the setting when they are built.
 */
import { config } from "zod";

config({ jitless: true });
