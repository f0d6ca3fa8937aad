/** The GPUs and Vulkan drivers of this machine, as its files show them: nothing is opened or started. */
import { access, constants, readdir, readFile } from "node:fs/promises";
import path from "node:path";

export type Vendor = "NVIDIA" | "AMD" | "Intel" | "Apple" | "another vendor";

export interface Gpu {
  readonly vendor: Vendor;
  /** For people. */
  readonly name: string;
  /** The kernel's module, such as `nvidia` or `amdgpu`, with its version where one is known. */
  readonly driver: string | null;
  /** Whether this user may open it. */
  readonly accessible: boolean;
}

const PCI_VENDORS: Readonly<Record<string, Vendor>> = {
  "0x10de": "NVIDIA",
  "0x1002": "AMD",
  "0x8086": "Intel",
};

/** @param root the file system's, another one in tests */
export async function listGpus(platform: string, root = "/"): Promise<readonly Gpu[]> {
  // Every Mac that runs the software has Metal.
  if (platform === "darwin") return [{ vendor: "Apple", name: "Metal", driver: null, accessible: true }];
  const nvidia = await nvidiaGpus(root);
  const others = (await renderNodes(root)).filter(({ vendor }) => vendor !== "NVIDIA" || nvidia.length === 0);
  return [...nvidia, ...others];
}

/** NVIDIA's own driver; in a container its files are all there is. */
async function nvidiaGpus(root: string): Promise<readonly Gpu[]> {
  const version = await readText(path.join(root, "proc/driver/nvidia/version"));
  const release = /Kernel Module.*?\s(\d+\.[\d.]+)/.exec(version ?? "")?.[1];
  const driver = release === undefined ? "nvidia" : `nvidia ${release}`;
  const folder = path.join(root, "proc/driver/nvidia/gpus");
  const models = await Promise.all(
    (await list(folder)).map((gpu) => readText(path.join(folder, gpu, "information"))),
  );
  const names = models.map((text) => /^Model:\s*(.+)$/m.exec(text ?? "")?.[1]?.trim() ?? "NVIDIA GPU");
  const devices = (await list(path.join(root, "dev"))).filter((file) => /^nvidia\d+$/.test(file));
  // A container may see the files of all GPUs and have but one of them.
  return Promise.all(
    devices.map(async (device, i) => ({
      vendor: "NVIDIA" as const,
      name: names[i] ?? names[0] ?? "NVIDIA GPU",
      driver,
      accessible: await mayOpen(path.join(root, "dev", device)),
    })),
  );
}

/** A card with a render node computes; one without only drives a screen. */
async function renderNodes(root: string): Promise<readonly Gpu[]> {
  const folder = path.join(root, "sys/class/drm");
  const nodes = (await list(folder)).filter((file) => /^renderD\d+$/.test(file));
  return Promise.all(
    nodes.map(async (node) => {
      const device = path.join(folder, node, "device");
      const id = (await readText(path.join(device, "vendor")))?.trim() ?? "";
      const events = (await readText(path.join(device, "uevent"))) ?? "";
      const vendor = PCI_VENDORS[id] ?? "another vendor";
      const pciId = /^PCI_ID=(\S+)$/m.exec(events)?.[1];
      const driver = /^DRIVER=(\S+)$/m.exec(events)?.[1] ?? null;
      const name = pciId === undefined ? `GPU of ${vendor}` : `${vendor} ${pciId}`;
      return { vendor, name, driver, accessible: await mayOpen(path.join(root, "dev/dri", node)) };
    }),
  );
}

/** Where the Vulkan loader looks for drivers on Linux, unless the environment says otherwise. */
const DRIVER_FOLDERS = ["etc/vulkan/icd.d", "usr/local/share/vulkan/icd.d", "usr/share/vulkan/icd.d"];

/**
 * Vulkan drivers by the names of their manifests, such as `nvidia_icd` or `vk_swiftshader_icd`.
 * @param environment VK_DRIVER_FILES and VK_ICD_FILENAMES take the place of the folders
 */
export async function listVulkanDrivers(
  environment: Readonly<Record<string, string | undefined>>,
  root = "/",
): Promise<readonly string[]> {
  const chosen = environment.VK_DRIVER_FILES ?? environment.VK_ICD_FILENAMES;
  const files =
    chosen === undefined
      ? (await Promise.all(DRIVER_FOLDERS.map((folder) => list(path.join(root, folder))))).flat()
      : chosen.split(path.delimiter);
  return files.filter((file) => file.endsWith(".json")).map((file) => path.basename(file, ".json"));
}

/** Libraries of Vulkan drivers, by whose GPU they drive. */
const DRIVER_LIBRARIES: readonly (readonly [RegExp, Vendor])[] = [
  [/libGLX_nvidia|libnvidia-|libvulkan_nouveau/, "NVIDIA"],
  [/libvulkan_radeon|amdvlk/, "AMD"],
  [/libvulkan_intel/, "Intel"],
  [/libvulkan_(asahi|panfrost|freedreno|broadcom|powervr|virtio|gfxstream|dzn)/, "another vendor"],
];
const SOFTWARE_LIBRARIES: readonly (readonly [RegExp, string])[] = [
  [/libvk_swiftshader/, "SwiftShader"],
  [/libvulkan_lvp/, "llvmpipe"],
];

/**
 * ONNX Runtime opens an adapter and does not tell which; the driver's library is then in the process' memory.
 * @param maps text of /proc/self/maps, null where there is none
 */
export function adapterOf(
  platform: string,
  maps: string | null,
  gpus: readonly Gpu[],
): { readonly name: string; readonly hardware: boolean | null } {
  if (platform === "darwin") return { name: "Metal", hardware: true };
  if (maps === null) return { name: "an adapter of unknown kind", hardware: null };
  // A driver is loaded wherever it is installed, so its GPU has to be here, too.
  const gpu = gpus.find(({ vendor }) =>
    DRIVER_LIBRARIES.some(([library, owner]) => owner === vendor && library.test(maps)),
  );
  if (gpu !== undefined) return { name: gpu.name, hardware: true };
  const software = SOFTWARE_LIBRARIES.find(([library]) => library.test(maps))?.[1];
  return { name: `${software ?? "a software driver"} (no GPU)`, hardware: false };
}

async function mayOpen(file: string): Promise<boolean> {
  try {
    await access(file, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

async function list(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch {
    return [];
  }
}

async function readText(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch {
    return null;
  }
}
