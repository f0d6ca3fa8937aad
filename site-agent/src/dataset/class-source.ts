/** Classes to tell apart, from whatever labels a cache has: classes as they are, or whether a finding, box or mask is there. */
import { ConsiliumError } from "@consilium/shared/errors";
import { readBoxes } from "./boxes.ts";
import { readFindings, type Findings } from "./findings.ts";
import { readLabels, type Labels } from "./labels.ts";
import { openMasks } from "./masks.ts";

export const CLASS_SOURCES = ["classes", "findings", "boxes", "masks"] as const;

export interface ClassSource {
  /** Null takes classes where there are some, else findings. */
  readonly from: (typeof CLASS_SOURCES)[number] | null;
  /** The finding to tell from its absence; null takes all, if no image shows two. */
  readonly finding: string | null;
}

/** What the cache has is what finetune takes where nothing else is said. */
export const ANY_CLASSES: ClassSource = { from: null, finding: null };

/** The class of images that somebody looked at and found nothing on. */
export const NO_FINDING = "none";
export const absenceOf = (finding: string): string => `no ${finding}`;

/**
 * One class for each labelled image of the cache in folder `dir`; empty if it has no labels of any kind.
 * @throws config.invalid if the labels are of another kind, or images show several findings and none was chosen
 */
export async function readClasses(dir: string, { from, finding }: ClassSource): Promise<Labels> {
  const source = from ?? (await usualSource(dir));
  if (source === "classes") {
    const labels = await readLabels(dir);
    return finding === null
      ? labels
      : presence(new Map([...labels].map(([image, label]) => [image, [label]])), finding);
  }
  const found = await findingsOf(dir, source);
  if (found.size === 0 && from !== null)
    throw invalid("classes-from", `the cache has no ${source}: consilium-site label adds them`);
  return finding === null ? onlyFinding(found) : presence(found, finding);
}

async function usualSource(dir: string): Promise<"classes" | "findings"> {
  if ((await readLabels(dir)).size > 0) return "classes";
  if ((await readFindings(dir)).size > 0) return "findings";
  for (const source of ["boxes", "masks"] as const)
    if ((await findingsOf(dir, source)).size > 0)
      throw invalid(
        "classes-from",
        `the cache has ${source} and no classes: --classes-from ${source} takes their presence`,
      );
  return "classes";
}

async function findingsOf(dir: string, source: "findings" | "boxes" | "masks"): Promise<Findings> {
  if (source === "findings") return readFindings(dir);
  if (source === "masks") return maskFindings(dir);
  const boxes = await readBoxes(dir);
  return new Map([...boxes].map(([image, found]) => [image, unique(found.map(({ label }) => label))]));
}

/** The classes of which an image's masks have one pixel or more. */
async function maskFindings(dir: string): Promise<Findings> {
  const masks = await openMasks(dir);
  if (masks === null) return new Map();
  try {
    const { classes, images, sizePx } = masks;
    const square = sizePx ** 2;
    const out = new Uint8Array(classes.length * square);
    const found = new Map<string, readonly string[]>();
    for (const image of images) {
      masks.read(image, out);
      const shown = classes.filter((_, i) =>
        out.subarray(i * square, (i + 1) * square).some((value) => value > 0),
      );
      found.set(image, unique(shown));
    }
    return found;
  } finally {
    masks.close();
  }
}

function presence(found: Findings, finding: string): Labels {
  const names = unique([...found.values()].flat());
  if (!names.includes(finding)) throw invalid("finding", `no image shows it; there are: ${names.join(", ")}`);
  return new Map(
    [...found].map(([image, shown]) => [image, shown.includes(finding) ? finding : absenceOf(finding)]),
  );
}

function onlyFinding(found: Findings): Labels {
  if ([...found.values()].some(({ length }) => length > 1)) {
    const names = unique([...found.values()].flat());
    throw invalid(
      "finding",
      `images show several findings: choose one with --finding; there are: ${names.join(", ")}`,
    );
  }
  return new Map([...found].map(([image, [shown = NO_FINDING]]) => [image, shown]));
}

const unique = (names: readonly string[]): readonly string[] => [...new Set(names)].sort();

const invalid = (culprit: string, reason: string): ConsiliumError =>
  new ConsiliumError("config.invalid", { detail: `(${reason})`, culprits: [culprit] });
