/** What was typed wrong, without what was typed: a name or a path in a command line must not end up in a log. */
import { ConsiliumError } from "./errors.ts";

/** What commander throws, as far as it matters here: this room has no command line of its own. */
export interface CommanderFailure {
  readonly code: string;
  readonly message: string;
}

/** Commander's own errors, in our words. @param program whose help knows better */
export function misuse(error: CommanderFailure, program: string): ConsiliumError {
  return new ConsiliumError("config.invalid", {
    detail: `(${reasonOf(error)}; see ${program} --help)`,
    cause: error,
  });
}

function reasonOf({ code, message }: CommanderFailure): string {
  switch (code) {
    case "commander.help":
      return "no such command";
    case "commander.unknownCommand":
      return `no such command${suggestion(message)}`;
    case "commander.unknownOption":
      return `no such option${suggestion(message)}`;
    case "commander.invalidArgument":
      return invalidValue(message);
    case "commander.missingArgument":
    case "commander.optionMissingArgument":
    case "commander.missingMandatoryOptionValue":
    case "commander.excessArguments":
      // These name our own options and arguments, and count.
      return message.replace(/^error: /, "");
    default:
      return "the command line is not understood";
  }
}

/** Commander suggests names of ours alone, at the end of its message. */
function suggestion(message: string): string {
  const found = /\n\((Did you mean [\w-]+\?|Did you mean one of [\w, -]+\?)\)$/.exec(message)?.[1];
  return found === undefined ? "" : `. ${found}`;
}

/** `option '--format <format>' argument 'VALUE' is invalid. Allowed choices are a, b.`, without the value. */
function invalidValue(message: string): string {
  const option = /^error: option '([^']*)' argument /.exec(message)?.[1];
  const choices = /\. (Allowed choices are [\w, -]+)\.$/.exec(message)?.[1];
  const what = option === undefined ? "a value" : `the value of ${option}`;
  return `${what} is not valid${choices === undefined ? "" : `. ${choices}`}`;
}
