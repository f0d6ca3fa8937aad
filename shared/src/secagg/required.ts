/** A value that is there unless this code is wrong. @throws TypeError */
export function required<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError("a value that must exist does not");
  return value;
}
