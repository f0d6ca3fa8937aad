/** ONNX Runtime's own profile of the engine's sessions: how long each node took. */
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { z } from "zod";

/** One node in one run. */
export interface NodeTime {
  readonly op: string;
  readonly ms: number;
  readonly calls: number;
  readonly inputs: readonly (readonly number[])[];
  readonly outputs: readonly (readonly number[])[];
}

export interface SessionProfile {
  /** Of each run, what its nodes took and what the session took over all. */
  readonly runs: readonly { readonly ms: number; readonly nodes: readonly NodeTime[] }[];
}

/** Each a record with one key, the type: [{"float": [544, 128]}]. */
const shapesSchema = z
  .array(z.record(z.string(), z.array(z.number())))
  .transform((shapes) => shapes.flatMap((shape) => Object.values(shape)));
const eventsSchema = z.array(
  z.object({
    cat: z.string(),
    name: z.string(),
    ts: z.number(),
    dur: z.number(),
    args: z
      .object({
        op_name: z.string().optional(),
        input_type_shape: shapesSchema.optional(),
        output_type_shape: shapesSchema.optional(),
      })
      .optional(),
  }),
);
type Create = (model: Uint8Array, options: InferenceSession.SessionOptions) => Promise<InferenceSession>;

/**
 * Runs `work` with profiling on in every session that is created meanwhile, all other options being the engine's own.
 * @returns the profile of the session that took the longest
 * @throws Error if no session was created in this thread
 */
export async function profileSessions(work: () => Promise<void>): Promise<SessionProfile> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "consilium-profile-"));
  const original = Object.getOwnPropertyDescriptor(InferenceSession, "create") ?? {};
  const createPlain = InferenceSession.create.bind(InferenceSession) as Create;
  const sessions: InferenceSession[] = [];
  const createProfiled: Create = async (model, options) => {
    const profileFilePrefix = path.join(folder, String(sessions.length));
    const session = await createPlain(model, { ...options, enableProfiling: true, profileFilePrefix });
    sessions.push(session);
    return session;
  };
  Object.defineProperty(InferenceSession, "create", { ...original, value: createProfiled });
  try {
    await work();
    for (const session of sessions) session.endProfiling();
    const profiles: SessionProfile[] = [];
    for (const file of await readdir(folder)) {
      profiles.push(parseProfile(await readFile(path.join(folder, file), "utf8")));
    }
    const [longest] = profiles.toSorted((a, b) => totalMs(b) - totalMs(a));
    if (longest === undefined) throw new Error("the engine created no session in this thread");
    return longest;
  } finally {
    Object.defineProperty(InferenceSession, "create", original);
    await rm(folder, { recursive: true, force: true });
  }
}

const totalMs = ({ runs }: SessionProfile): number => runs.reduce((sum, { ms }) => sum + ms, 0);

/** Chrome's trace format; times in microseconds. */
function parseProfile(text: string): SessionProfile {
  const events = eventsSchema.parse(JSON.parse(text));
  const nodes = events.filter(({ cat, name }) => cat === "Node" && name.endsWith("_kernel_time"));
  const runs = events
    .filter(({ cat, name }) => cat === "Session" && name === "model_run")
    .map(({ ts, dur }) => ({
      ms: dur / 1000,
      nodes: nodes
        .filter((node) => node.ts >= ts && node.ts < ts + dur)
        .map((node) => ({
          op: node.args?.op_name ?? "unknown",
          ms: node.dur / 1000,
          calls: 1,
          inputs: node.args?.input_type_shape ?? [],
          outputs: node.args?.output_type_shape ?? [],
        })),
    }));
  return { runs };
}
