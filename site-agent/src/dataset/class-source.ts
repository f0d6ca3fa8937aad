/** Classes to tell apart, from whatever labels a cache has: classes as they are, or whether a finding, box or mask is there. */
import { ConsiliumError } from "@consilium/shared/errors";
import { readBoxes } from "./boxes.ts";
import { knows } from "./known.ts";
import { readFindings, type Findings, type ImageFindings } from "./findings.ts";
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
    return finding === null ? labels : presence(classesAsFindings(labels), finding);
  }
  const found = await findingsOf(dir, source);
  if (found.size === 0 && from !== null)
    throw invalid("classes-from", `the cache has no ${source}: consilium-site label adds them`);
  return finding === null ? onlyFinding(found) : presence(found, finding);
}

/**
 * Which findings each labelled image of the cache shows, does not show, or may show.
 * @param from null takes findings
 * @throws config.invalid if the cache has none
 */
export async function readAllFindings(dir: string, from: ClassSource["from"]): Promise<Findings> {
  const found =
    from === "classes" ? classesAsFindings(await readLabels(dir)) : await findingsOf(dir, from ?? "findings");
  if (found.size > 0) return found;
  throw invalid(
    "classes-from",
    `the cache has no ${from ?? "findings"}: consilium-site label adds them, and --classes-from takes classes, boxes or masks`,
  );
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
  const { boxes, classes, known } = await readBoxes(dir);
  return new Map(
    [...boxes].map(([image, found]) => [
      image,
      { ...shown(found.map(({ label }) => label)), unknown: classes.filter((c) => !knows(known, image, c)) },
    ]),
  );
}

/** The classes of which an image's masks have one pixel or voxel or more. */
async function maskFindings(dir: string): Promise<Findings> {
  const masks = await openMasks(dir);
  if (masks === null) return new Map();
  try {
    const { classes, images, known, sizePx, depthPx } = masks;
    const square = depthPx * sizePx ** 2;
    const out = new Uint8Array(classes.length * square);
    const found = new Map<string, ImageFindings>();
    for (const image of images) {
      masks.read(image, out);
      const marked = classes.filter((_, i) =>
        out.subarray(i * square, (i + 1) * square).some((value) => value > 0),
      );
      const unknown = classes.filter((name) => !knows(known, image, name));
      found.set(image, { ...shown(marked), unknown });
    }
    return found;
  } finally {
    masks.close();
  }
}

/** Images of which nobody said whether they show it have no class. */
function presence(found: Findings, finding: string): Labels {
  const names = namesOf(found);
  if (!names.includes(finding)) throw invalid("finding", `no image shows it; there are: ${names.join(", ")}`);
  return new Map(
    [...found]
      .filter(([, { unknown }]) => !unknown.includes(finding))
      .map(([image, { present }]) => [image, present.includes(finding) ? finding : absenceOf(finding)]),
  );
}

function onlyFinding(found: Findings): Labels {
  if ([...found.values()].some(({ present }) => present.length > 1)) {
    throw invalid(
      "finding",
      `images show several findings: choose one with --finding, or take --task findings for all; there are: ${namesOf(found).join(", ")}`,
    );
  }
  return new Map(
    [...found]
      .filter(([, { present, unknown }]) => present.length > 0 || unknown.length === 0)
      .map(
        ([
          image,
          {
            present: [only = NO_FINDING],
          },
        ]) => [image, only],
      ),
  );
}

const classesAsFindings = (labels: Labels): Findings =>
  new Map([...labels].map(([image, label]) => [image, shown([label])]));

const shown = (names: readonly string[]): ImageFindings => ({ present: unique(names), unknown: [] });

const namesOf = (found: Findings): readonly string[] =>
  unique([...found.values()].flatMap(({ present }) => present));

const unique = (names: readonly string[]): readonly string[] => [...new Set(names)].sort();

const invalid = (culprit: string, reason: string): ConsiliumError =>
  new ConsiliumError("config.invalid", { detail: `(${reason})`, culprits: [culprit] });
