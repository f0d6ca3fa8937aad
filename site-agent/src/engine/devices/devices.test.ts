import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { chooseDevice, describeChoice } from "./choose.ts";
import { absent, type Device, type Trial } from "./device.ts";
import { adapterOf, listGpus, listVulkanDrivers, type Gpu } from "./machine.ts";
import { tryDevice, tryIn } from "./trial.ts";

const NVIDIA: Gpu = { vendor: "NVIDIA", name: "NVIDIA A10", driver: "nvidia 550.54", accessible: true };
const INTEL: Gpu = { vendor: "Intel", name: "Intel 8086:9A49", driver: "i915", accessible: true };

describe("the choice of a device", () => {
  const works = (name: string, hardware: boolean | null = true): Trial => ({
    usable: true,
    name,
    hardware,
    half: true,
  });
  const cpu = works("CPU");

  /** @returns what was chosen, and which devices were tried for it */
  async function choose(gpus: readonly Gpu[], trials: Partial<Record<Device, Trial>>) {
    const tried: Device[] = [];
    const choice = await chooseDevice("auto", {
      gpus: () => Promise.resolve(gpus),
      tryDevice: (device) => {
        tried.push(device);
        return Promise.resolve(trials[device] ?? absent("it is not installed"));
      },
    });
    return { ...choice, tried };
  }

  it("prefers CUDA, then TensorFlow on a GPU, then WebGPU on hardware, then the CPU", async () => {
    const all = { cuda: works("A10"), tensorflow: works("tfjs"), webgpu: works("A10"), cpu };
    expect((await choose([NVIDIA], all)).device).toBe("cuda");
    const withoutCuda = { ...all, cuda: absent("no files") };
    expect((await choose([NVIDIA], withoutCuda)).device).toBe("tensorflow");
    expect((await choose([NVIDIA], { ...withoutCuda, tensorflow: works("tfjs", false) })).device).toBe(
      "webgpu",
    );
    expect((await choose([NVIDIA], { cpu })).device).toBe("cpu");
  });

  it("never takes a software adapter by itself, nor one of unknown kind, and says why", async () => {
    for (const hardware of [false, null]) {
      const choice = await choose([INTEL], { webgpu: works("SwiftShader", hardware), cpu });
      expect(choice.device).toBe("cpu");
      expect(choice.passedOver.map(({ device }) => device)).toEqual(["cuda", "tensorflow", "webgpu"]);
      expect(describeChoice(choice)).toMatch(
        /^training on cpu \(CPU\); cuda: there is no NVIDIA GPU; .*webgpu: .*SwiftShader/,
      );
    }
  });

  it("tries nothing where there is no GPU, and no CUDA where there is none of NVIDIA's", async () => {
    expect((await choose([], { webgpu: works("SwiftShader"), cpu })).tried).toEqual(["cpu"]);
    expect((await choose([INTEL], { webgpu: works("Intel"), cpu })).tried).toEqual(["tensorflow", "webgpu"]);
  });

  it("takes any device that was asked for by name, and refuses one that does not work", async () => {
    const ports = (trial: Trial) => ({
      gpus: () => Promise.resolve([]),
      tryDevice: () => Promise.resolve(trial),
    });
    const software = await chooseDevice("webgpu", ports(works("SwiftShader", false)));
    expect(software).toEqual({ device: "webgpu", name: "SwiftShader", half: true, passedOver: [] });
    await expect(chooseDevice("cuda", ports(absent("no files")))).rejects.toMatchObject({
      code: "engine.unavailable",
      culprits: ["cuda"],
      detail: "(cuda: no files)",
    });
  });
});

describe("a first try in a process of its own", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "consilium-trial-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function tryWith(text: string): Promise<Trial> {
    const script = path.join(folder, "main.mjs");
    await writeFile(script, text);
    return tryIn(pathToFileURL(script), "webgpu");
  }

  it("takes its answer, and gives it again without a second try", async () => {
    expect(
      await tryWith(`process.send({ usable: false, reason: process.argv[2] }); process.disconnect();`),
    ).toEqual(absent("webgpu"));
    const first = await tryDevice("tensorflow");
    expect(await tryDevice("tensorflow")).toBe(first);
  });

  it("survives a driver that ends the process, and one that throws", async () => {
    expect(await tryWith("process.abort();")).toEqual(absent("trying it ended with SIGABRT"));
    expect(await tryWith("throw new Error();")).toEqual(absent("trying it ended with code 1"));
  });

  it("names a library that is missed only on the terminal", async () => {
    const complaint = "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file";
    const script = `console.error(${JSON.stringify(complaint)});`;
    expect(await tryWith(script)).toEqual(absent("the Vulkan loader libvulkan.so.1 is not installed"));
  });
});

describe("what a machine's files show", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), "consilium-machine-"));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  async function write(file: string, text: string): Promise<void> {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), text);
  }

  it("NVIDIA's driver, in a container too", async () => {
    await write("dev/nvidia0", "");
    await write("dev/nvidiactl", "");
    expect(await listGpus("linux", root)).toEqual([
      { vendor: "NVIDIA", name: "NVIDIA GPU", driver: "nvidia", accessible: true },
    ]);
    await write(
      "proc/driver/nvidia/version",
      "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n",
    );
    await write("proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA A10\nIRQ:   61\n");
    expect(await listGpus("linux", root)).toEqual([
      { vendor: "NVIDIA", name: "NVIDIA A10", driver: "nvidia 550.54.15", accessible: true },
    ]);
  });

  it("cards that compute, and none that only drive a screen", async () => {
    await write("devices/gpu/vendor", "0x8086\n");
    await write("devices/gpu/uevent", "DRIVER=i915\nPCI_CLASS=30000\nPCI_ID=8086:9A49\n");
    await mkdir(path.join(root, "sys/class/drm/renderD128"), { recursive: true });
    await symlink("../../../../devices/gpu", path.join(root, "sys/class/drm/renderD128/device"));
    await write("sys/class/drm/card1/device/vendor", "0x1a03\n");
    expect(await listGpus("linux", root)).toEqual([{ ...INTEL, accessible: false }]);
    await write("dev/dri/renderD128", "");
    expect(await listGpus("linux", root)).toEqual([INTEL]);
  });

  it("nothing where there is nothing", async () => {
    expect(await listGpus("linux", root)).toEqual([]);
    expect(await listVulkanDrivers({}, root)).toEqual([]);
  });

  it("Vulkan drivers, of the system or of the environment", async () => {
    await write("usr/share/vulkan/icd.d/intel_icd.x86_64.json", "{}");
    await write("etc/vulkan/icd.d/nvidia_icd.json", "{}");
    await write("etc/vulkan/icd.d/README", "");
    expect(await listVulkanDrivers({}, root)).toEqual(["nvidia_icd", "intel_icd.x86_64"]);
    const VK_ICD_FILENAMES = "/opt/vk_swiftshader_icd.json";
    expect(await listVulkanDrivers({ VK_ICD_FILENAMES }, root)).toEqual(["vk_swiftshader_icd"]);
  });
});

describe("the adapter behind WebGPU", () => {
  const maps = (...libraries: string[]): string =>
    libraries.map((library) => `7f00-7f01 r-xp 00000000 08:01 1  /usr/lib/${library}`).join("\n");

  it("is hardware where a driver and its GPU are both there", () => {
    const loaded = maps("libvulkan.so.1", "libvulkan_intel.so", "libvulkan_lvp.so");
    expect(adapterOf("linux", loaded, [INTEL])).toEqual({ name: "Intel 8086:9A49", hardware: true });
    expect(adapterOf("linux", loaded, [])).toEqual({ name: "llvmpipe (no GPU)", hardware: false });
    expect(adapterOf("linux", loaded, [NVIDIA])).toMatchObject({ hardware: false });
    expect(adapterOf("linux", maps("libGLX_nvidia.so.550.54.15"), [NVIDIA])).toMatchObject({
      hardware: true,
    });
  });

  it("is software where a software driver stands in", () => {
    expect(adapterOf("linux", maps("libvk_swiftshader.so"), [INTEL])).toEqual({
      name: "SwiftShader (no GPU)",
      hardware: false,
    });
  });

  it("is unknown where no memory map tells", () => {
    expect(adapterOf("win32", null, [])).toMatchObject({ hardware: null });
    expect(adapterOf("darwin", null, [])).toMatchObject({ hardware: true });
  });
});
