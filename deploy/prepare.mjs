// What `npm ci` ends with: builds the dashboard's page, if what builds it was installed. A site has no use for it, and is
// installed without (`npm ci --omit=dev`).
try {
  const { build } = await import("vite");
  await build({ root: "coordinator/dashboard", logLevel: "warn" });
} catch (error) {
  if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  console.log("The dashboard was not built: a coordinator wants `npm ci` with all packages.");
}
