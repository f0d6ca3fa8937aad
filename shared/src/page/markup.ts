/** HTML and SVG as template strings in which everything that is not markup already is escaped. */

export interface Markup {
  readonly markup: string;
}

export type MarkupValue = Markup | string | number | null | readonly MarkupValue[];

/** Strings and numbers are escaped, lists joined, null leaves nothing. Also right inside quoted attributes. */
export function markup(strings: TemplateStringsArray, ...values: readonly MarkupValue[]): Markup {
  return { markup: strings.reduce((text, part, index) => text + render(values[index - 1] ?? null) + part) };
}

function render(value: MarkupValue): string {
  if (value === null) return "";
  if (typeof value === "string") return escape(value);
  if (typeof value === "number") return String(value);
  if (isList(value)) return value.map(render).join("");
  return value.markup;
}

const isList = (value: MarkupValue): value is readonly MarkupValue[] => Array.isArray(value);

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}
