/** The dashboard as a person sees it: the built page in a real browser, fed by a stand-in for the coordinator. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { buildDashboard } from "./support/build-dashboard.ts";
import {
  chromiumPath,
  launchBrowser,
  NO_CHROMIUM,
  type TestBrowser,
  type TestPage,
  type ViewOptions,
} from "./support/browser.ts";
import { federationAt, SITES } from "./support/federation-story.ts";
import { startStatusServer, type StatusServer } from "./support/status-server.ts";
import type { RoundHealth } from "@consilium/shared/health/schema";
import type { FederationStatus } from "@consilium/shared/protocol/http";

if (chromiumPath === null) console.warn(NO_CHROMIUM);

const HEALTH: RoundHealth = {
  width: 128,
  rankMe: 3,
  participationRatio: 2,
  featureStdDev: 0.01,
  alignment: 0.1,
  heldOutLoss: null,
  meanAnswerLoss: null,
  neighbours: null,
  probe: null,
  commonest: null,
};

describe.skipIf(chromiumPath === null)("the dashboard in a browser", () => {
  let dist: string;
  let removeDist: () => Promise<void>;
  let browser: TestBrowser;
  const opened: { server: StatusServer; view: TestPage }[] = [];

  beforeAll(async () => {
    ({ dist, remove: removeDist } = await buildDashboard());
    browser = await launchBrowser(chromiumPath ?? "");
  });

  afterEach(async () => {
    for (const { server, view } of opened.splice(0)) {
      await view.page.close();
      await server.close();
    }
  });

  afterAll(async () => {
    await browser.close();
    await removeDist();
  });

  async function show(status: FederationStatus | null, options: ViewOptions & { locked?: boolean } = {}) {
    const server = await startStatusServer(dist, status);
    const view = await browser.open(options);
    opened.push({ server, view });
    await view.page.goto(options.locked === true ? server.lockedUrl : server.url);
    return { server, ...view };
  }

  it("says by number which hospital loaded something else", async () => {
    const { page, complaints } = await show(federationAt({ completed: 1, knees: true }));
    const verdict = async (site: string) => page.getByTestId(`images-${site}`).textContent();
    await page.getByTestId("images-hospital-c").waitFor();
    expect(await verdict("hospital-a")).toContain("like the others");
    expect(await verdict("hospital-c")).toContain(
      "body part, intensity and what lies where unlike the others (1.00)",
    );
    expect(await page.getByTestId("images-hospital-c").locator(".unlike").allTextContents()).toEqual([
      "1.00",
      "0.27",
      "0.18",
    ]);
    // All together, a third of them knees.
    const together = page.getByTestId("images-together").getByRole("img", { name: /^body part/ });
    expect(await together.getAttribute("aria-label")).toBe("body part: chest 67 %, lower limb 33 %");
    expect(complaints).toEqual([]);
  });

  it("says where the images cannot be compared, and what to do", async () => {
    const { page } = await show(federationAt({ completed: 1, masked: true, givenUp: "secagg.garbled" }));
    const text = await page.getByTestId("images-given-up").textContent();
    expect(text).toMatch(/secagg\.garbled.*consilium-site preview/);
  });

  it("shows the plan, every site and the rounds, and the browser has nothing to complain about", async () => {
    const { page, complaints } = await show(federationAt({ completed: 11 }));
    await page.getByTestId("phase").waitFor();
    expect(await page.getByTestId("phase").textContent()).toBe("Training, round 12 of 25");
    for (const site of SITES) {
      expect(await page.getByTestId(`site-${site}`).textContent()).toContain("connected");
    }
    expect(await page.getByTestId("site-hospital-a").textContent()).toContain("step 37 of 59");
    expect(await page.getByRole("progressbar", { name: "Rounds" }).getAttribute("aria-valuenow")).toBe("11");
    expect(await page.getByText("the coordinator can read each site's update").count()).toBe(1);
    expect(await page.getByTestId("round-12").textContent()).toContain("open");
    expect(complaints).toEqual([]);
  });

  it("names who was left out of a round, and why", async () => {
    const { page } = await show(federationAt({ completed: 6 }));
    const row = page.getByTestId("round-5");
    await row.waitFor();
    expect(await row.textContent()).toContain("hospital-c did not answer before the deadline");
  });

  it("moves with each event, without a reload", async () => {
    const { page, server } = await show(federationAt({ completed: 3 }));
    const phase = page.getByTestId("phase");
    await phase.getByText("round 4 of 25").waitFor();
    await page.evaluate("window.neverReloaded = true");
    const chart = page.getByTestId("loss-chart");
    expect(await chart.getAttribute("data-points")).toBe("4");
    server.push(federationAt({ completed: 4 }));
    await phase.getByText("round 5 of 25").waitFor();
    await page.getByTestId("round-5").waitFor();
    expect(await chart.getAttribute("data-points")).toBe("5");
    expect(await chart.locator("canvas").count()).toBe(1);
    server.push(federationAt({ completed: 25 }));
    await phase.getByText("Finished after 25 rounds").waitFor();
    expect(await page.title()).toContain("Finished");
    expect(await page.evaluate("window.neverReloaded")).toBe(true);
  });

  it("says when the connection is lost, keeps the last numbers, and recovers by itself", async () => {
    const { page, server } = await show(federationAt({ completed: 7 }));
    await page.getByTestId("connection").getByText("Live").waitFor();
    server.goAway();
    const banner = page.getByTestId("lost");
    await banner.waitFor();
    expect(await banner.textContent()).toContain("The connection to the coordinator is lost");
    expect(await page.getByTestId("phase").textContent()).toBe("Training, round 8 of 25");
    server.push(federationAt({ completed: 9 }));
    server.comeBack();
    await page.getByText("Training, round 10 of 25").waitFor();
    await banner.waitFor({ state: "detached" });
    await page.getByTestId("connection").getByText("Live").waitFor();
  });

  it("shows which site is not connected", async () => {
    const { page } = await show(
      federationAt({
        completed: 2,
        sites: [
          { phase: "training", fraction: 0.5 },
          { phase: "training", fraction: 0.5, connected: false },
          { phase: "training", fraction: 0.1 },
        ],
      }),
    );
    const row = page.getByTestId("site-hospital-b");
    await row.getByText("Not connected").waitFor();
    expect(await row.textContent()).toMatch(/seen 1 min \d+ s ago/);
  });

  it("tells how to open it when it is locked, and when the lock changes later", async () => {
    const { page } = await show(federationAt({ completed: 1 }), { locked: true });
    // Another coordinator of this browser's session may have left its cookie: start from none.
    await page.context().clearCookies();
    await page.reload();
    await page.getByRole("heading", { name: "This page is locked" }).waitFor();
    expect(await page.getByText("the address that the coordinator printed").count()).toBe(1);

    const other = await show(federationAt({ completed: 1 }));
    await other.page.getByTestId("connection").getByText("Live").waitFor();
    other.server.lock();
    await other.page.getByText("no longer accepts this browser").waitFor();
  });

  it("has a word for a coordinator without a federation, and for a federation without sites", async () => {
    const empty = await show(null);
    await empty.page.getByRole("heading", { name: "No federation yet" }).waitFor();
    const lonely = await show({
      ...federationAt({ completed: 0, phase: "waiting" }),
      sites: [],
      history: [],
    });
    await lonely.page.getByText("No site has joined yet").waitFor();
    expect(lonely.complaints).toEqual([]);
  });

  it("marks features that are hardly spread, and calls sites done once all is over", async () => {
    const base = federationAt({ completed: 6, rounds: 6 });
    const health = { ...HEALTH, featureStdDev: 0.01 / Math.sqrt(HEALTH.width) };
    const status = {
      ...base,
      sites: base.sites.map((site) => ({ ...site, connected: false })),
      history: base.history.map((round) => ({ ...round, health })),
    };
    const { page } = await show(status);
    expect(await page.getByTestId("low-spread").textContent()).toContain("below 2 % is marked");
    expect(await page.getByTestId("health-6").locator(".unlike").allTextContents()).toEqual(["1 %"]);
    const site = await page.getByTestId("site-hospital-a").textContent();
    expect(site).toContain("done");
    expect(site).not.toContain("seen");
  });

  it("opens a site's fingerprint with the keyboard", async () => {
    const status = federationAt({ completed: 1 });
    const { page } = await show(status);
    const name = page.getByRole("button", { name: "hospital-a" });
    await name.focus();
    await page.keyboard.press("Enter");
    expect(await name.getAttribute("aria-expanded")).toBe("true");
    expect(await page.getByTestId("site-hospital-a").textContent()).toContain(status.sites[0]?.fingerprint);
  });

  it("follows the system's colours, and a person's choice over them", async () => {
    const { page } = await show(federationAt({ completed: 4 }), { colorScheme: "dark" });
    await page.getByTestId("phase").waitFor();
    const background = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
    const dark = await background();
    await page.getByRole("button", { name: "Use light colours" }).click();
    expect(await background()).not.toBe(dark);
    await page.evaluate("localStorage.clear()");
  });

  it.each([390, 768, 1280])("fits a screen of %i px without scrolling sideways", async (width) => {
    const { page } = await show(federationAt({ completed: 12 }), { width });
    await page.getByTestId("phase").waitFor();
    await page.getByTestId("loss-chart").locator("canvas").waitFor();
    expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
  });
});
