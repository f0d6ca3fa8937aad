/** What commands say, to people or to machines. */
export interface Terminal {
  /** Machines read one JSON object a line on standard output. */
  readonly json: boolean;
  /** Standard output, one line. */
  print(line: string): void;
}

/** The machine form with `--json`, the people's form without. */
export function say(terminal: Terminal, machine: object, people: string): void {
  terminal.print(terminal.json ? JSON.stringify(machine) : people);
}
