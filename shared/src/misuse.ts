/** What was typed wrong, without what was typed: a name or a path in a command line must not end up in a log. */
import { ConsiliumError } from "./errors.ts";

/** What commander throws and takes, as far as it matters here: this room has no command line of its own. */
interface CommanderFailure extends Error {
  readonly code: string;
  readonly exitCode: number;
}

interface CommandLine {
  readonly parent: CommandLine | null;
  readonly commands: readonly CommandLine[];
  readonly options: readonly { mandatory: boolean }[];
  name(): string;
  exitOverride(onExit: (error: CommanderFailure) => never): unknown;
  parseOptions(argv: string[]): { readonly unknown: readonly string[] };
  parseAsync(argv: readonly string[], from: { readonly from: "user" }): Promise<unknown>;
}

/**
 * Parses and runs. Commander's own errors come in our words, with the command whose help knows better.
 * @param argv what follows the program's name
 * @throws config.invalid; what the command throws; commander's error with exit code 0 when help or version was asked for
 */
export async function parseLine(program: CommandLine, argv: readonly string[]): Promise<void> {
  let at: CommandLine = program;
  const watch = (command: CommandLine): void => {
    command.exitOverride((error) => {
      at = command;
      throw error;
    });
    command.commands.forEach(watch);
  };
  watch(program);
  const parse = (): Promise<CommanderFailure | null> =>
    program.parseAsync(argv, { from: "user" }).then(
      () => null,
      (error: unknown) => {
        if (isFailure(error)) return error;
        throw error;
      },
    );
  let failure = await parse();
  if (failure === null) return;
  // It looks for what is missing first, and what is missing may only be mistyped.
  if (failure.code === MISSING_OPTION && at.parseOptions([...argv]).unknown[0]?.startsWith("-") === true) {
    for (const option of at.options) option.mandatory = false;
    failure = (await parse()) ?? failure;
  }
  if (failure.exitCode === 0) throw failure;
  throw misuse(failure, at);
}

const MISSING_OPTION = "commander.missingMandatoryOptionValue";

function isFailure(error: unknown): error is CommanderFailure {
  return (
    error instanceof Error &&
    "code" in error &&
    /^commander\./.test(String(error.code)) &&
    "exitCode" in error
  );
}

function misuse(error: CommanderFailure, at: CommandLine): ConsiliumError {
  return new ConsiliumError("config.invalid", {
    detail: `(${reasonOf(error, at)}; see ${fullName(at)} --help)`,
    cause: error,
  });
}

const fullName = (command: CommandLine): string =>
  command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;

function reasonOf({ code, message }: CommanderFailure, { commands }: CommandLine): string {
  switch (code) {
    case "commander.help":
      return `a command is missing: ${commands.map((below) => below.name()).join(", ")}`;
    case "commander.unknownCommand":
      return `no such command${suggestion(message)}`;
    case "commander.unknownOption":
      return `no such option${suggestion(message)}`;
    case "commander.invalidArgument":
      return invalidValue(message);
    case "commander.excessArguments":
      // A command that does something by itself takes a mistyped one below it for an argument.
      if (commands.length > 0)
        return `no such command; choose ${commands.map((below) => below.name()).join(", ")}`;
      return message.replace(/^error: /, "");
    case "commander.missingArgument":
    case "commander.optionMissingArgument":
    case MISSING_OPTION:
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
