import { describe, expect, it } from "vitest";
import { homeFolder, parseCoordinatorUrl, parseName, parseSiteName } from "./config.ts";

describe("settings", () => {
  it("the home folder is the option's, else the environment's, else the user's", () => {
    const env = { CONSILIUM_SITE_HOME: "/from/env" };
    expect(homeFolder("/option", env, "/users/me")).toBe("/option");
    expect(homeFolder(undefined, env, "/users/me")).toBe("/from/env");
    expect(homeFolder(undefined, {}, "/users/me")).toBe("/users/me/.consilium/site");
  });

  it.each([
    ["https://coordinator.example", "https://coordinator.example/"],
    ["http://127.0.0.1:8470/", "http://127.0.0.1:8470/"],
    ["https://hospital.example/consilium?x=1#y", "https://hospital.example/consilium/"],
  ])("%s is the address %s", (text, address) => {
    expect(parseCoordinatorUrl(text)).toBe(address);
  });

  it.each(["coordinator.example", "ftp://coordinator.example", "https://me:secret@coordinator.example", ""])(
    "%j is no address",
    (text) => {
      expect(() => parseCoordinatorUrl(text)).toThrow("--coordinator");
    },
  );

  it.each(["../train", "a/b", ".hidden", "", "x".repeat(64)])("%j names no cache", (text) => {
    expect(() => parseName("--cache", text)).toThrow("--cache");
  });

  it("a site's name is a DNS label", () => {
    expect(parseSiteName("st-mary")).toBe("st-mary");
    expect(() => parseSiteName("St Mary")).toThrow("--site");
  });
});
