/**
 * The migrations, said in PostgreSQL's words. They are written once, for libsql: its integers have 64 bits, its text is
 * ordered by bytes, and it numbers the rows of a table in the order in which they came.
 */
export function toPostgres(step: string): string {
  return step
    .replace(/json_extract\((\w+), '\$\.([\w.]+)'\)/g, (_call, column: string, path: string) => {
      return `(${column}::jsonb #>> '{${path.replaceAll(".", ",")}}')`;
    })
    .replace(/\bINTEGER\b/g, "BIGINT")
    .replace(/\bTEXT\b/g, 'TEXT COLLATE "C"')
    .replace(/\)\s*STRICT,\s*WITHOUT ROWID\b/g, ")")
    .replace(/\)\s*STRICT\b/g, ",\n    rowid BIGINT GENERATED ALWAYS AS IDENTITY\n  )");
}

/** `?` as `$1`, `$2`, ..., and fields of JSON. Our statements hold no question mark in a text. */
export function inPostgres(sql: string): string {
  let last = 0;
  return sql.replace(/(\w+) ->> /g, "$1::jsonb ->> ").replace(/\?/g, () => `$${++last}`);
}
