import { describe, expect, it } from "vitest";
import { absent, type Device, type Trial } from "../engine/devices/device.ts";
import type { Gpu } from "../engine/devices/machine.ts";
import { examineEngines, type Machine } from "./engines.ts";

const NVIDIA: Gpu = { vendor: "NVIDIA", name: "NVIDIA A10", driver: "nvidia 550.54", accessible: true };
const AMD: Gpu = { vendor: "AMD", name: "AMD 1002:744C", driver: "amdgpu", accessible: true };

interface Case {
  readonly gpus?: readonly Gpu[];
  readonly drivers?: readonly string[];
  readonly trials?: Partial<Record<Device, Trial>>;
  readonly tensorFlow?: string;
  readonly processor?: Trial;
}

/** @returns each finding as "status found -> next", by what was looked at */
async function findings({
  gpus = [],
  drivers = [],
  trials = {},
  tensorFlow,
  processor,
}: Case): Promise<Map<string, string>> {
  const cpu: Trial = { usable: true, name: "CPU", hardware: true, half: false };
  const machine: Machine = {
    processor: "A processor",
    gpus: () => Promise.resolve(gpus),
    vulkanDrivers: () => Promise.resolve(drivers),
    tryDevice: (device) => Promise.resolve({ cpu, ...trials }[device] ?? absent("it is not here")),
    tryProcessor: () => Promise.resolve(processor ?? cpu),
    tensorFlow: () => Promise.resolve(tensorFlow ?? null),
  };
  const found = await examineEngines(machine, 4);
  return new Map(
    found.map(({ status, what, found: text, next }) => [
      what,
      [status, text, ...(next === null ? [] : ["->", next])].join(" "),
    ]),
  );
}

describe("doctor, of engines", () => {
  it("is content with a machine without a GPU, also where a software driver stands in", async () => {
    const none = await findings({});
    expect(none.get("gpu")).toBe("ok none seen");
    expect(none.get("engine webgpu")).toBe("ok not needed: there is no GPU");
    expect(none.get("--device auto")).toMatch(/^ok training on cpu/);
    const software = await findings({
      drivers: ["vk_swiftshader_icd"],
      trials: { webgpu: { usable: true, name: "SwiftShader (no GPU)", hardware: false, half: false } },
    });
    expect(software.get("vulkan")).toBe("ok vk_swiftshader_icd");
    expect(software.get("engine webgpu")).toMatch(/^ok works on SwiftShader .*slower than engine cpu$/);
  });

  it("gives one command for what a GPU lacks", async () => {
    const loader = { webgpu: absent("the Vulkan loader libvulkan.so.1 is not installed") };
    for (const gpus of [[NVIDIA], []]) {
      const bare = await findings({ gpus, drivers: ["some_icd"], trials: loader });
      expect(bare.get("engine webgpu")).toMatch(/^warn .*-> sudo apt install libvulkan1$/);
    }
    expect((await findings({ gpus: [AMD], trials: loader })).get("engine webgpu")).toContain(
      "libvulkan1 mesa-",
    );
    expect((await findings({ gpus: [AMD] })).get("engine webgpu")).toContain("mesa-vulkan-drivers");
    expect((await findings({ gpus: [NVIDIA] })).get("engine webgpu")).toContain("libnvidia-gl-550");

    const files = { cuda: absent("the library libonnxruntime_providers_shared.so is not installed") };
    expect((await findings({ gpus: [NVIDIA], trials: files })).get("engine cuda")).toMatch(
      /^warn .*-> ONNXRUNTIME_NODE_INSTALL=cuda12 node \S+install\.js$/,
    );
    const libraries = { cuda: absent("the library libcudnn.so.9 is not installed") };
    expect((await findings({ gpus: [NVIDIA], trials: libraries })).get("engine cuda")).toContain("libcudnn9");
  });

  it("sees that this user may not open the GPU", async () => {
    const denied = await findings({ gpus: [{ ...AMD, accessible: false }] });
    expect(denied.get("gpu")).toMatch(/^warn .*-> sudo usermod -aG render/);
  });

  it("warns of a software driver that stands in for a GPU that is there", async () => {
    const webgpu: Trial = { usable: true, name: "llvmpipe (no GPU)", hardware: false, half: false };
    const found = await findings({ gpus: [AMD], drivers: ["lvp_icd"], trials: { webgpu } });
    expect(found.get("engine webgpu")).toMatch(/^warn works on llvmpipe .*mesa-vulkan-drivers$/);
  });

  it("fails where nothing can be computed on the processor", async () => {
    expect((await findings({})).get("engine cpu")).toMatch(/^ok works, ONNX Runtime .*4 threads$/);
    const broken = await findings({ processor: absent("ONNX Runtime refused the compiled graph") });
    expect(broken.get("engine cpu")).toMatch(/^fail ONNX Runtime refused .*-> npm ci/);
  });

  it("tells of TensorFlow that is installed and does not load", async () => {
    const broken = await findings({ tensorFlow: "@tensorflow/tfjs-node" });
    expect(broken.get("engine tensorflow")).toBe(
      "warn it is not here -> npm rebuild @tensorflow/tfjs-node --build-addon-from-source",
    );
  });
});
