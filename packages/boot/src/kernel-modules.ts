/**
 * Which modules of a kernel an image or an initrd gets: by patterns, with what they depend on. Works on
 * the lists that depmod(8) and the kernel's build leave in /usr/lib/modules/VERSION. Pure.
 * @module
 */
import { ConfigError } from "@imgtool/core";

/**
 * What the word `default` in KernelModules= and KernelInitrdModules= stands for: what finding and
 * opening the root file system takes on common machines, virtual ones among them. As mkosi has it.
 */
export const defaultModules: readonly string[] = [
  // file systems
  ..."autofs4 binfmt_misc btrfs configfs efivarfs erofs ext4 overlay squashfs vfat virtiofs xfs".split(" "),
  // layers between disks and file systems
  ..."dm-crypt dm-integrity dm-mod dm-multipath dm-raid dm-verity loop raid[0-9]*".split(" "),
  // disks and buses
  ..."ahci cdrom nvme scsi_mod sd_mod sg usb-storage xhci-pci-renesas".split(" "),
  // virtual machines
  ..."kvm qemu_fw_cfg virtio_balloon virtio_blk virtio_console virtio_dma_buf virtio_mmio virtio_net".split(" "),
  ..."virtio_pci virtio_scsi virtio-rng vmw_vsock_virtio_transport vsock".split(" "),
  // what others load by names that are in no list of dependencies
  ..."cfg80211 dmi-sysfs drm_buddy efi-pstore i2c-algo-bit i2c-mux i2c-smbus".split(" "),
  ..."intel-uncore-frequency-common intel[-_]vsec libphy mdio_devres mei mxm-wmi parport pmt_telemetry".split(" "),
  ..."serio skx_edac_common snd-intel-dspcfg snd-soc-hda-codec wmi x_tables".split(" "),
]
  .map((name) => `/${name}\\.ko`)
  .concat("^fs/nls/", "crypto/");

/**
 * The modules that patterns choose.
 * @param modules paths relative to /usr/lib/modules/VERSION: `kernel/fs/ext4/ext4.ko`
 * @param patterns regular expressions that are looked for in the path below `kernel/`; with a `-` before
 *   it one leaves out. The last that matches decides; what none matches is kept when the first pattern
 *   leaves out, or there is none.
 * @throws ConfigError `module-pattern-invalid`
 */
export function chooseModules(modules: readonly string[], patterns: readonly string[]): string[] {
  const rules = patterns.flatMap((pattern) => {
    const keep = !pattern.startsWith("-");
    const text = keep ? pattern : pattern.slice(1);
    return (text === "default" ? defaultModules : [text]).map((one) => ({ keep, expression: compile(one) }));
  });
  const otherwise = rules[0]?.keep !== true;
  return modules.filter((path) => {
    const inner = path.slice(path.indexOf("/") + 1);
    return rules.findLast(({ expression }) => expression.test(inner))?.keep ?? otherwise;
  });
}

function compile(pattern: string): RegExp {
  if (pattern === "host")
    throw new ConfigError("the modules that this machine has loaded make no image that can be built again", {
      code: "module-pattern-invalid",
      hint: "name the modules instead of writing host",
    });
  try {
    return new RegExp(pattern);
  } catch (error) {
    throw new ConfigError(`not a regular expression: ${JSON.stringify(pattern)}`, {
      code: "module-pattern-invalid",
      hint: "correct KernelModules= or KernelInitrdModules=",
      cause: error,
    });
  }
}

/** A module's name, the way modprobe compares: from `kernel/fs/nls/nls_utf8.ko.xz`, `nls_utf8`. */
export function moduleName(path: string): string {
  return path
    .replace(/^.*\//, "")
    .replace(/\.ko(\.\w+)?$/, "")
    .replaceAll("-", "_");
}

/**
 * Modules together with all that they need.
 * @param dependencies the text of modules.dep
 * @param softDependencies the text of modules.softdep
 * @returns paths in the order of their bytes
 */
export function withDependencies(chosen: readonly string[], dependencies: string, softDependencies: string): string[] {
  const needs = new Map<string, readonly string[]>();
  const byName = new Map<string, string>();
  for (const line of dependencies.split("\n")) {
    const [path = "", rest = ""] = line.split(":", 2);
    if (path === "") continue;
    needs.set(path, rest.split(" ").filter(Boolean));
    byName.set(moduleName(path), path);
  }
  const soft = new Map<string, string[]>();
  for (const line of softDependencies.split("\n")) {
    const [word, name = "", ...others] = line.trim().split(/\s+/);
    if (word !== "softdep") continue;
    const names = others.filter((other) => !other.endsWith(":")).map((other) => byName.get(other.replaceAll("-", "_")));
    soft.set(name.replaceAll("-", "_"), [
      ...(soft.get(name.replaceAll("-", "_")) ?? []),
      ...names.filter((path) => path !== undefined),
    ]);
  }
  const all = new Set<string>();
  const open = [...chosen];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (all.has(path)) continue;
    all.add(path);
    open.push(...(needs.get(path) ?? []), ...(soft.get(moduleName(path)) ?? []));
  }
  return [...all].sort();
}
