import { describe, expect, it } from "vitest";
import { describeHours, isOpen, opensAtMs, parseHours } from "./hours.ts";

const at = (text: string): number => Date.parse(text);
const nights = parseHours("mon-fri 18:00-07:00, sat-sun 00:00-24:00", "Europe/Berlin");

describe("hours of work", () => {
  it("reach past midnight into the next day", () => {
    // 2026-01-05 is a Monday; Berlin is one hour ahead of UTC in winter.
    expect(isOpen(nights, at("2026-01-05T16:59:00Z"))).toBe(false);
    expect(isOpen(nights, at("2026-01-05T17:00:00Z"))).toBe(true);
    expect(isOpen(nights, at("2026-01-06T05:59:00Z"))).toBe(true);
    expect(isOpen(nights, at("2026-01-06T06:00:00Z"))).toBe(false);
    expect(isOpen(nights, at("2026-01-10T11:00:00Z"))).toBe(true);
    // Monday's early morning belongs to Sunday, whose window ends at midnight.
    expect(isOpen(nights, at("2026-01-12T02:00:00Z"))).toBe(false);
  });

  it("say when they begin", () => {
    expect(opensAtMs(nights, at("2026-01-06T06:00:30Z"))).toBe(at("2026-01-06T17:00:00Z"));
    expect(opensAtMs(nights, at("2026-01-06T18:00:30Z"))).toBe(at("2026-01-06T18:00:30Z"));
    const once = parseHours("wed 12:00-12:30", "UTC");
    expect(opensAtMs(once, at("2026-01-07T12:30:00Z"))).toBe(at("2026-01-14T12:00:00Z"));
  });

  it("follow the clock through summer time, forwards and back", () => {
    const early = parseHours("sun 02:00-03:00", "Europe/Berlin");
    // On 29 March 2026 two o'clock is left out in Berlin: three follows at once.
    const night = at("2026-03-29T00:00:00Z");
    const open = (fromMs: number, count: number) =>
      Array.from({ length: count }, (_, i) => fromMs + i * 600_000).filter((ms) => isOpen(early, ms));
    expect(open(night, 24)).toEqual([]);
    expect(opensAtMs(early, night)).toBe(at("2026-04-05T00:00:00Z"));
    // On 25 October it comes twice.
    expect(open(at("2026-10-24T23:00:00Z"), 24)).toHaveLength(12);
    const evenings = parseHours("sat-sun 18:00-20:00", "Europe/Berlin");
    expect(opensAtMs(evenings, at("2026-03-28T12:00:00Z"))).toBe(at("2026-03-28T17:00:00Z"));
    expect(opensAtMs(evenings, at("2026-03-29T12:00:00Z"))).toBe(at("2026-03-29T16:00:00Z"));
  });

  it("are read as they are printed, and refused when they are none", () => {
    expect(describeHours(nights)).toBe(
      "mon,tue,wed,thu,fri 18:00-07:00; sat,sun 00:00-24:00 (Europe/Berlin)",
    );
    expect(parseHours("mon,tue,wed,thu,fri 18:00-07:00; sat,sun 00:00-24:00", "Europe/Berlin")).toEqual(
      nights,
    );
    for (const [text, zone] of [
      ["", "UTC"],
      ["always", "UTC"],
      ["mon 25:00-26:00", "UTC"],
      ["mon 10:99-11:00", "UTC"],
      ["fun 10:00-11:00", "UTC"],
      ["mon 10:00-11:00", "Mars/Olympus"],
    ] as const) {
      expect(() => parseHours(text, zone)).toThrow(
        expect.objectContaining({ code: "policy.hours-invalid" }) as Error,
      );
    }
  });
});
