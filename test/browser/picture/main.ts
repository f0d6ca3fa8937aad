/**
 * Takes the picture of the dashboard for the README from a coordinator that runs:
 * `tsx test/browser/picture/main.ts "http://127.0.0.1:PORT/?token=..." docs/pictures/dashboard.png [dark]`.
 */
import { chromiumPath, launchBrowser, NO_CHROMIUM } from "../support/browser.ts";

const WIDTH_PX = 1280;
const HEIGHT_PX = 890;

const [url, file, scheme] = process.argv.slice(2);
if (url === undefined || file === undefined) {
  console.error("usage: tsx test/browser/picture/main.ts DASHBOARD_URL FILE.png [dark]");
  process.exit(2);
}
if (chromiumPath === null) {
  console.error(NO_CHROMIUM);
  process.exit(1);
}
const browser = await launchBrowser(chromiumPath);
try {
  const { page } = await browser.open({
    width: WIDTH_PX,
    height: HEIGHT_PX,
    colorScheme: scheme === "dark" ? "dark" : "light",
  });
  await page.goto(url);
  await page.getByTestId("connection").getByText("Live").waitFor();
  await page.getByTestId("loss-chart").locator("canvas").waitFor();
  await page.screenshot({ path: file });
} finally {
  await browser.close();
}
