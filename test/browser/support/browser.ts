/** A real browser for tests: Debian's Chromium driven by playwright-core. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium, type BrowserContext, type Page } from "playwright-core";

const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Null where none is installed; the tests then skip. */
export const chromiumPath: string | null = PLACES.find((place) => existsSync(place)) ?? null;

export const NO_CHROMIUM = "no Chromium on this machine: the tests in a real browser are skipped";

export interface TestBrowser {
  /** A page that keeps what it complains about. */
  open(options?: ViewOptions): Promise<TestPage>;
  close(): Promise<void>;
}

export interface ViewOptions {
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: "light" | "dark";
}

export interface TestPage {
  readonly page: Page;
  /** Errors of scripts, failed requests of resources and breaches of the content security policy. */
  readonly complaints: string[];
}

/** Starts with a profile of its own, so that nothing is left and nothing is found. */
export async function launchBrowser(executablePath: string): Promise<TestBrowser> {
  const profile = await mkdtemp(path.join(tmpdir(), "consilium-browser-"));
  const context: BrowserContext = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  return {
    async open({ width = 1280, height = 900, colorScheme = "light" } = {}) {
      const page = await context.newPage();
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const complaints: string[] = [];
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("console", (message) => {
        if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
      });
      return { page, complaints };
    },
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
