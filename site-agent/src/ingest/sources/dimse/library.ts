/**
 * dcmjs-dimse, silenced. It and dcmjs write what they choke on to the console, which may be a header's value; their loggers
 * take hold of the console as they are loaded, so it is silent before.
 */
import { quietConsole } from "../../quiet-thread.ts";

quietConsole();
const { default: library } = await import("dcmjs-dimse");
library.log.disableAll(false);

export const { association, constants, Dataset, requests, responses, Scp } = library;
