/** A page as one file that needs nothing else: it loads nothing and runs no script, whatever its data hold. */
import { markup, type Markup } from "./markup.ts";
import { PAGE_STYLE } from "./style.ts";

const SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/** @param style is added to the house style */
export function htmlDocument(title: string, style: string, body: Markup): string {
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${SECURITY_POLICY}">
<title>${title} · Consilium</title>
<link rel="icon" href="data:,">
<style>${{ markup: PAGE_STYLE + style }}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
  return page.markup;
}
