import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Relative addresses, so that the page also works below a path of a reverse proxy. */
export default defineConfig({
  base: "./",
  plugins: [react()],
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        codeSplitting: { groups: [{ name: "react", test: /node_modules\/(react|react-dom|scheduler)\// }] },
      },
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8080" } },
});
