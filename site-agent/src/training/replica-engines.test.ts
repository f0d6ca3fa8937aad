import { describe, expect, it } from "vitest";
import { replicaEngines } from "./replica-engines.ts";

const choice = (device: "cuda" | "webgpu") => ({ device, name: "GPU", half: false, passedOver: [] });

describe("the engines of several devices", () => {
  it("share the threads in equal parts, at least one each", async () => {
    const threads = async (all: number, devices: number) =>
      (await replicaEngines({ threads: all, device: "cpu", devices })).map((engine) => engine.threads);
    expect(await threads(8, 1)).toEqual([8]);
    expect(await threads(8, 3)).toEqual([2, 2, 2]);
    expect(await threads(2, 4)).toEqual([1, 1, 1, 1]);
  });

  it("take one GPU each", async () => {
    const engines = await replicaEngines({ threads: 2, device: choice("cuda"), devices: 3 });
    expect(engines.map(({ deviceIndex }) => deviceIndex)).toEqual([0, 1, 2]);
  });

  it("compute with the precision that was asked for", async () => {
    const precisions = async (devices: number) =>
      (await replicaEngines({ threads: 2, device: choice("cuda"), devices, precision: "mixed" })).map(
        ({ precision }) => precision,
      );
    expect(await precisions(1)).toEqual(["mixed"]);
    expect(await precisions(2)).toEqual(["mixed", "mixed"]);
  });

  it("are refused where only one can be had", async () => {
    const several = replicaEngines({ threads: 2, device: choice("webgpu"), devices: 2 });
    await expect(several).rejects.toMatchObject({ code: "engine.unavailable", culprits: ["webgpu"] });
    await expect(replicaEngines({ threads: 2, device: choice("webgpu") })).resolves.toHaveLength(1);
  });
});
