/** The real coordinator, its printed address and its page in a real browser: what the stand-in only pretends. */
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { PlanInput } from "@consilium/shared/plan-schema";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cli, root, runCli } from "../support/cli.ts";
import { chromiumPath, launchBrowser, NO_CHROMIUM, type TestBrowser } from "./support/browser.ts";

if (chromiumPath === null) console.warn(NO_CHROMIUM);

const plan: PlanInput = { federation: "chest", title: "Chest radiographs", rounds: 3 };

describe.skipIf(chromiumPath === null)("the coordinator's page", () => {
  let folder: string;
  let coordinator: Cli;
  let browser: TestBrowser;
  let url: string;
  let dashboardUrl: string;

  beforeAll(async () => {
    const page = path.join(root, "coordinator/dashboard");
    if (!existsSync(path.join(page, "dist/index.html"))) await build({ root: page, logLevel: "warn" });
    folder = await mkdtemp(path.join(tmpdir(), "consilium-page-"));
    const planFile = path.join(folder, "plan.json");
    await writeFile(planFile, JSON.stringify(plan));
    coordinator = new Cli("coordinator", [
      ...["serve", "--home", path.join(folder, "home"), "--host", "127.0.0.1", "--port", "0"],
      ...["--plan", planFile, "--json"],
    ]);
    const listening = await coordinator.waitFor(({ event }) => event === "listening");
    url = String(listening["url"]);
    dashboardUrl = String(listening["dashboardUrl"]);
    browser = await launchBrowser(chromiumPath ?? "");
  });

  afterAll(async () => {
    await browser.close();
    await coordinator.kill("SIGTERM");
    await rm(folder, { recursive: true, force: true });
  });

  it("is locked without the printed address", async () => {
    const { page } = await browser.open();
    await page.goto(url);
    await page.getByRole("heading", { name: "This page is locked" }).waitFor();
    await page.close();
  });

  it("opens with it, keeps the token out of the address bar, and is live without a complaint", async () => {
    const { page, complaints } = await browser.open();
    await page.goto(dashboardUrl);
    await page.getByTestId("connection").getByText("Live").waitFor();
    expect(new URL(page.url()).search).toBe("");
    expect(await page.getByTestId("phase").textContent()).toBe("Waiting for sites");
    expect(await page.getByText("No site has joined yet").count()).toBe(1);
    expect(await page.evaluate("document.cookie")).toBe("");
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("shows a site as soon as it has joined", async () => {
    const { page } = await browser.open();
    await page.goto(dashboardUrl);
    await page.getByTestId("connection").getByText("Live").waitFor();
    const home = path.join(folder, "site");
    const { token } = await runCli("coordinator", [
      ...["invite", "--home", path.join(folder, "home"), "--site", "hospital-a", "--json"],
    ]);
    await runCli("site", ["init", "--home", home, "--site", "hospital-a", "--json"]);
    await runCli("site", ["join", "--home", home, "--coordinator", url, "--token", String(token), "--json"]);
    const row = page.getByTestId("site-hospital-a");
    await row.waitFor();
    expect(await row.textContent()).toContain("never connected");
    await page.close();
  });
});
