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

/** In red: said when such a plan is written, and when a coordinator starts with it. */
export const PLAIN_WARNING =
  "\u001b[31mNOT MASKED: under this plan the coordinator can read every site's update.\u001b[39m";
