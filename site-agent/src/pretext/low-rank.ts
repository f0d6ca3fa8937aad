/** A task whose matrices of low rank stay, and learn through their factors: see shared/low-rank.ts. */
import { factorName } from "@consilium/shared/low-rank";
import type { Plan } from "@consilium/shared/plan";
import { travelsAsFactor } from "@consilium/shared/trained-part";
import { drawnName } from "../model/vit.ts";
import type { PretextParameter, PretextTask } from "./types.ts";

/** Adds the factors behind the task's own parameters, for those that follow a matrix (a teacher's) as well. */
export function withLowRank(task: PretextTask, { training }: Pick<Plan, "training">): PretextTask {
  const { lowRank } = training;
  if (lowRank === undefined) return task;
  const moved = new Set(
    task.parameters.filter(({ name }) => travelsAsFactor(name, training)).map(({ name }) => name),
  );
  const moving = task.parameters.filter(({ name, follows }) => moved.has(follows?.parameter ?? name));
  const factors = moving.flatMap((own) => factorsOf(own, lowRank.rank));
  const added = factors.reduce((sum, { shape: [rows = 1, columns = 1] }) => sum + rows * columns, 0);
  return {
    ...task,
    parameters: [
      ...task.parameters.map((own) => (moved.has(own.name) ? { ...own, learningRateScale: 0 } : own)),
      ...factors,
    ],
    initialWeights: (seed) => {
      const values = task.initialWeights(seed);
      const all = new Float32Array(values.length + added);
      all.set(values);
      return all;
    },
  };
}

/** A and B of a matrix, or of one that follows it: the same A, and a B that follows the other's. */
function factorsOf(own: PretextParameter, rank: number): readonly PretextParameter[] {
  const { name, shape, learningRateScale, follows } = own;
  const [inputs = 1, outputs = 1] = shape;
  const weight = follows?.parameter ?? name;
  const drawn = { shape: [inputs, rank], decay: false, learningRateScale: 0 };
  const factor = { name: factorName(name), shape: [rank, outputs], decay: false, learningRateScale };
  return [
    { ...drawn, name: drawnName(name), sharing: { drawnFor: weight } },
    {
      ...factor,
      ...(follows && { follows: { ...follows, parameter: factorName(weight) } }),
      sharing: "from-zero",
    },
  ];
}
