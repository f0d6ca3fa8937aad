/**
 * Hours of work: on which days, from when to when, on the clock of which place. What counts is what that clock shows, so
 * that summer time needs no care: an hour that is left out cannot be worked in, and one that comes twice is worked twice.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import { z } from "zod";

export const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
export type Day = (typeof DAYS)[number];

const MINUTES_A_DAY = 24 * 60;
const MINUTE_MS = 60_000;
/** A week and two days for clocks that are changed on the way. */
const SEARCHED_MINUTES = 9 * MINUTES_A_DAY;

const isTimeZone = (name: string): boolean => {
  try {
    new Intl.DateTimeFormat("en-GB", { timeZone: name });
    return true;
  } catch {
    return false;
  }
};

const windowSchema = z.strictObject({
  days: z.array(z.enum(DAYS)).min(1).readonly(),
  /** Minutes after midnight. */
  from: z
    .int()
    .min(0)
    .max(MINUTES_A_DAY - 1),
  /** Minutes after midnight; at or before `from`, it is on the next day. */
  to: z.int().min(1).max(MINUTES_A_DAY),
});
type Window = z.infer<typeof windowSchema>;

export const hoursSchema = z.strictObject({
  /** IANA name, for example Europe/Berlin. */
  timeZone: z.string().refine(isTimeZone, "no known time zone"),
  windows: z.array(windowSchema).min(1).readonly(),
});
export type Hours = z.infer<typeof hoursSchema>;

interface WallClock {
  readonly day: Day;
  readonly minute: number;
}

export function isOpen({ timeZone, windows }: Hours, atMs: number): boolean {
  const now = wallClock(timeZone)(atMs);
  return windows.some((window) => holds(window, now));
}

/** @returns when work may begin; `atMs` itself within the hours. Null if never within nine days. */
export function opensAtMs(hours: Hours, atMs: number): number | null {
  const clock = wallClock(hours.timeZone);
  const open = (ms: number): boolean => hours.windows.some((window) => holds(window, clock(ms)));
  if (open(atMs)) return atMs;
  // Clocks everywhere differ by quarters of an hour.
  const stepMs = hours.windows.reduce((step, { from, to }) => gcd(gcd(step, from), to), 15) * MINUTE_MS;
  const untilMs = atMs + SEARCHED_MINUTES * MINUTE_MS;
  for (let ms = Math.ceil(atMs / stepMs) * stepMs; ms <= untilMs; ms += stepMs) {
    if (open(ms)) return ms;
  }
  return null;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/**
 * Reads for example "mon-fri 18:00-07:00, sat,sun 00:00-24:00". The days are those on which a window begins.
 * @throws policy.hours-invalid
 */
export function parseHours(text: string, timeZone: string): Hours {
  const windows = text
    .split(/[,;]\s+/)
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseWindow);
  const parsed = hoursSchema.safeParse({ timeZone, windows });
  if (!parsed.success) throw new ConsiliumError("policy.hours-invalid");
  return parsed.data;
}

export function describeHours({ timeZone, windows }: Hours): string {
  const texts = windows.map(({ days, from, to }) => `${days.join(",")} ${clockText(from)}-${clockText(to)}`);
  return `${texts.join("; ")} (${timeZone})`;
}

function parseWindow(text: string): Window {
  const match = /^(\S+)\s+(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$/.exec(text);
  if (match === null) throw new ConsiliumError("policy.hours-invalid");
  const [, days = "", fromHour, fromMinute, toHour, toMinute] = match;
  const from = minutes(fromHour, fromMinute);
  const to = minutes(toHour, toMinute);
  return { days: days.split(",").flatMap(parseDays), from, to: to === 0 ? MINUTES_A_DAY : to };
}

/** "mon", or "fri-mon". */
function parseDays(text: string): Day[] {
  const [first, last = first] = text.split("-").map((name) => DAYS.findIndex((day) => day === name));
  if (first === undefined || last === undefined || first < 0 || last < 0) {
    throw new ConsiliumError("policy.hours-invalid");
  }
  const count = ((last - first + DAYS.length) % DAYS.length) + 1;
  return Array.from({ length: count }, (_, i) => DAYS[(first + i) % DAYS.length] as Day);
}

function minutes(hour: string | undefined, minute: string | undefined): number {
  const value = Number(hour) * 60 + Number(minute);
  if (Number(minute) > 59 || value > MINUTES_A_DAY) throw new ConsiliumError("policy.hours-invalid");
  return value;
}

function holds({ days, from, to }: Window, { day, minute }: WallClock): boolean {
  const yesterday = DAYS[(DAYS.indexOf(day) + DAYS.length - 1) % DAYS.length] as Day;
  if (to > from) return days.includes(day) && minute >= from && minute < to;
  return (days.includes(day) && minute >= from) || (days.includes(yesterday) && minute < to);
}

/** What a clock in that place shows. */
function wallClock(timeZone: string): (atMs: number) => WallClock {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  return (atMs) => {
    const parts = new Map(format.formatToParts(atMs).map(({ type, value }) => [type, value]));
    const day = DAYS.find((name) => name === parts.get("weekday")?.toLowerCase());
    if (day === undefined) throw new Error("a day of the week has a name");
    return { day, minute: Number(parts.get("hour")) * 60 + Number(parts.get("minute")) };
  };
}

const clockText = (minute: number): string =>
  `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
