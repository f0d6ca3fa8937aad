import { createTheme, type CSSVariablesResolver, type MantineColorsTuple } from "@mantine/core";

const teal: MantineColorsTuple = [
  "#e9f6f6",
  "#d3eaeb",
  "#a5d5d7",
  "#74bfc2",
  "#4eadb1",
  "#359fa5",
  "#1f8f96",
  "#0b6b75",
  "#075a63",
  "#004850",
];

export const theme = createTheme({
  primaryColor: "teal",
  primaryShade: { light: 7, dark: 4 },
  colors: { teal },
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace:
    'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  defaultRadius: "md",
  headings: { fontWeight: "600" },
});

/** One place for the page's colours; the style sheets and the chart use only these names. */
export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-body": "#f3f5f7",
    "--mantine-color-text": "#17212b",
    "--mantine-color-dimmed": "#566371",
    "--surface": "#ffffff",
    "--surface-2": "#f7f9fa",
    "--hairline": "#dfe5ea",
    "--edge": "rgb(23 33 43 / 26%)",
    "--ink": "#17212b",
    "--accent": "#0b6b75",
    "--accent-soft": "#d5ebec",
    "--track": "#e5eaee",
    "--good": "#1d7a46",
    "--warn": "#8f5a00",
    "--warn-fill": "#e0a030",
    "--warn-soft": "#fdf3dd",
    "--bad": "#b3261e",
    "--bad-soft": "#fdeceb",
  },
  dark: {
    "--mantine-color-body": "#0d1217",
    "--mantine-color-text": "#e4ebf1",
    "--mantine-color-dimmed": "#98a6b3",
    "--surface": "#141b22",
    "--surface-2": "#192129",
    "--hairline": "#27323c",
    "--edge": "rgb(228 235 241 / 26%)",
    "--ink": "#e4ebf1",
    "--accent": "#4ec3c9",
    "--accent-soft": "#173b40",
    "--track": "#25303a",
    "--good": "#5cc98b",
    "--warn": "#edb85a",
    "--warn-fill": "#d99a2b",
    "--warn-soft": "#2e2614",
    "--bad": "#ff8f86",
    "--bad-soft": "#351b1a",
  },
});

/** Distinct to colour-blind eyes too (after Okabe and Ito); a ninth site starts again with dashes. */
const SITE_COLORS = {
  light: ["#c8541b", "#2f6fb3", "#8a6d00", "#9b3d82", "#1f8a5f", "#5b56b8", "#a3403f", "#4d6b7a"],
  dark: ["#f29064", "#79b2ee", "#d8bd4c", "#e08cc9", "#5fcf9f", "#a9a4f5", "#ee8d8b", "#9fb9c7"],
} as const;

export interface SiteLine {
  readonly color: string;
  readonly dashed: boolean;
}

export function siteLine(index: number, scheme: "light" | "dark"): SiteLine {
  const colors = SITE_COLORS[scheme];
  return { color: colors[index % colors.length] ?? colors[0], dashed: index >= colors.length };
}
