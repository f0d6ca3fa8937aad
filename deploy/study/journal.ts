/** What a study has done so far, in one file that is replaced whole: whoever starts it again goes on from there. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { ConsiliumError } from "@consilium/shared/errors";
import { jsonOrNull } from "@consilium/shared/json";
import { z } from "zod";
import { intervalSchema } from "../demo/report/types.ts";
import type { StudyOptions } from "./options.ts";

const cellSchema = z.strictObject({
  /** `scratch`, `federated`, `pooled`, or `alone` with the site behind it. */
  encoder: z.string(),
  fraction: z.number(),
  mode: z.enum(["probe", "finetune"]),
  labels: z.int(),
  patients: z.int(),
  /** Mean over the seeds, with the interval of it. */
  auroc: intervalSchema,
  accuracy: intervalSchema,
  /** One a seed. */
  runs: z.array(z.number()),
});
export type Cell = z.infer<typeof cellSchema>;

const journalSchema = z.strictObject({
  schemaVersion: z.literal(1),
  settings: z.string(),
  stages: z.array(z.string()),
  test: z.strictObject({ images: z.int(), patients: z.int() }).nullable(),
  cells: z.array(cellSchema),
});
type Content = z.infer<typeof journalSchema>;

/** What would change encoders or results; shares, seeds and modes may be added to a study that has begun. */
const settingsOf = ({ data, rounds, model, seed, images, epochs }: StudyOptions): string =>
  sha256(canonicalJson({ data, rounds, model, seed, images, epochs }));

export class Journal {
  readonly #file: string;
  #content: Content;

  private constructor(file: string, content: Content) {
    this.#file = file;
    this.#content = content;
  }

  /** @throws config.invalid if the folder holds a study with other settings, or a damaged one */
  static async open(file: string, options: StudyOptions): Promise<Journal> {
    const settings = settingsOf(options);
    const text = await readFile(file, "utf8").catch(() => null);
    if (text === null)
      return new Journal(file, { schemaVersion: 1, settings, stages: [], test: null, cells: [] });
    const parsed = journalSchema.safeParse(jsonOrNull(text));
    if (!parsed.success) throw invalid("the study in --out cannot be read; start over with --fresh");
    if (parsed.data.settings !== settings)
      throw invalid("--out holds a study with other settings; give another folder, or --fresh");
    return new Journal(file, parsed.data);
  }

  get cells(): readonly Cell[] {
    return this.#content.cells;
  }

  get test(): Content["test"] {
    return this.#content.test;
  }

  isDone(stage: string): boolean {
    return this.#content.stages.includes(stage);
  }

  /** A cell counts only with as many seeds as are asked for. */
  hasCell(encoder: string, fraction: number, mode: Cell["mode"], seeds: number): boolean {
    return this.#content.cells.some(
      (cell) =>
        cell.encoder === encoder &&
        cell.fraction === fraction &&
        cell.mode === mode &&
        cell.runs.length === seeds,
    );
  }

  async finish(stage: string): Promise<void> {
    await this.#save({ ...this.#content, stages: [...this.#content.stages, stage] });
  }

  async add(cells: readonly Cell[], test: Content["test"]): Promise<void> {
    const same = (a: Cell, b: Cell) =>
      a.encoder === b.encoder && a.fraction === b.fraction && a.mode === b.mode;
    const kept = this.#content.cells.filter((old) => !cells.some((cell) => same(old, cell)));
    await this.#save({ ...this.#content, test, cells: [...kept, ...cells] });
  }

  async #save(content: Content): Promise<void> {
    await writeFile(`${this.#file}.new`, `${JSON.stringify(content, null, 2)}\n`);
    await rename(`${this.#file}.new`, this.#file);
    this.#content = content;
  }
}

const invalid = (detail: string): ConsiliumError =>
  new ConsiliumError("config.invalid", { detail: `(${detail})`, culprits: ["out"] });
