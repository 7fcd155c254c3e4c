/**
 * Names and texts of what a boot loader finds on the EFI system partition: the UAPI Group's Boot Loader
 * Specification, systemd-boot(7), and mkosi's way to name unified kernel images.
 * @module
 */
import { ConfigError } from "@imgtool/core";

const efiNames: Readonly<Record<string, string>> = {
  "x86-64": "x64",
  x86: "ia32",
  arm64: "aa64",
  arm: "arm",
  riscv64: "riscv64",
  loongarch64: "loongarch64",
};

/** EFI's name of an architecture, or undefined where there is no EFI: "x64" for "x86-64". */
export function efiArchitecture(architecture: string): string | undefined {
  return Object.hasOwn(efiNames, architecture) ? efiNames[architecture] : undefined;
}

/** The program that firmware starts from a disk it knows nothing of; absolute on the partition. */
export function defaultBootPath(efi: string): string {
  return `/EFI/BOOT/BOOT${efi.toUpperCase()}.EFI`;
}

/** Where systemd-boot lies besides. */
export function systemdBootPath(efi: string): string {
  return `/EFI/systemd/systemd-boot${efi}.efi`;
}

export interface KernelNames {
  /** What all entries of one system begin with: the image's id, or the distribution. */
  readonly token: string;
  readonly version: string;
  /** Hexadecimal; of a system on dm-verity. */
  readonly rootHash?: string | undefined;
  /** How often an entry is tried before it counts as bad (systemd.boot-counting). */
  readonly tries?: string | undefined;
}

/**
 * The name of a unified kernel image, without folder and `.efi`.
 * @param format text with `&e` (token), `&k` (kernel version), `&h` (root hash), `&c` (tries), `&&`
 * @throws ConfigError `uki-name-invalid`
 */
export function ukiName(names: KernelNames, format?: string): string {
  const { token, version, rootHash, tries } = names;
  const text = format ?? `&e-&k${rootHash === undefined ? "" : "-&h"}${tries === undefined ? "" : "+&c"}`;
  const values: Readonly<Record<string, string>> = {
    "&": "&",
    e: token,
    k: version,
    h: rootHash ?? "",
    c: tries ?? "",
  };
  const name = text.replaceAll(/&(.)/g, (whole, letter: string) => {
    const value = Object.hasOwn(values, letter) ? values[letter] : undefined;
    if (value !== undefined) return value;
    throw new ConfigError(`UnifiedKernelImageFormat=${text}: unknown specifier ${whole}`, {
      code: "uki-name-invalid",
      hint: "&e, &k, &h and &c stand for entry token, kernel version, root hash and tries",
    });
  });
  if (name === "" || name.includes("/"))
    throw new ConfigError(`UnifiedKernelImageFormat=${text} makes no file name: ${JSON.stringify(name)}`, {
      code: "uki-name-invalid",
    });
  return name;
}

export interface BootEntry {
  readonly title: string;
  readonly version: string;
  /** Paths on the partition, absolute. */
  readonly linux: string;
  readonly initrds: readonly string[];
  readonly options: string;
  /** Path on the partition of what the kernel shall know of the machine in place of what firmware tells. */
  readonly devicetree?: string | undefined;
}

/** The text of a boot entry of type 1. */
export function formatBootEntry({ title, version, linux, initrds, options, devicetree }: BootEntry): string {
  return [
    `title ${title}`,
    `version ${version}`,
    `linux ${linux}`,
    ...(options === "" ? [] : [`options ${options}`]),
    ...initrds.map((path) => `initrd ${path}`),
    ...(devicetree === undefined ? [] : [`devicetree ${devicetree}`]),
    "",
  ].join("\n");
}
