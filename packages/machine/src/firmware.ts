/**
 * Finds UEFI firmware by its descriptors, as QEMU's docs/interop/firmware.json has them: JSON files
 * in /etc/qemu/firmware and /usr/share/qemu/firmware, the first by name that fits.
 * @module
 */
import { readdir, readFile } from "node:fs/promises";
import { join, matchesGlob } from "node:path";
import { EnvironmentError, systemErrorCode } from "@imgtool/core";
import { pathExists } from "@imgtool/host";
import type { FlashImage } from "./virtual-machine.ts";

export interface UefiFirmware {
  readonly code: FlashImage;
  /** What a new machine's variables start from. */
  readonly variables: FlashImage;
  readonly needsSmm: boolean;
  /** The variables hold the keys of a vendor, and Secure Boot is on. */
  readonly hasKeys: boolean;
}

export interface FirmwareWish {
  readonly secureBoot: boolean;
  /** With the keys of a vendor (Microsoft's) enrolled. */
  readonly hasKeys: boolean;
}

/** The folders of descriptors; a name in an earlier one hides the same name in a later one. */
const descriptorFolders: readonly string[] = ["/etc/qemu/firmware", "/usr/share/qemu/firmware"];

const machine = "pc-q35-9.0";

/**
 * The first firmware for x86-64 that has what is wished for.
 * @throws EnvironmentError `firmware-missing`
 */
export async function findFirmware(
  wish: FirmwareWish,
  folders: readonly string[] = descriptorFolders,
): Promise<UefiFirmware> {
  const files = new Map<string, string>();
  for (const folder of folders)
    for (const name of await names(folder)) if (!files.has(name)) files.set(name, join(folder, name));
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [, file] of sorted) {
    const firmware = readDescriptor(await readFile(file, "utf8"));
    if (firmware === undefined || firmware.secureBoot !== wish.secureBoot || firmware.hasKeys !== wish.hasKeys)
      continue;
    const { code, variables } = firmware;
    if ((await pathExists(code.path)) && (await pathExists(variables.path))) return firmware;
  }
  const what = `${wish.secureBoot ? "with" : "without"} Secure Boot${wish.hasKeys ? " and enrolled keys" : ""}`;
  throw new EnvironmentError(`no UEFI firmware for x86-64 ${what} in ${folders.join(", ")}`, {
    code: "firmware-missing",
    hint: "apt-get install ovmf",
    data: { ...wish, folders },
  });
}

/** What a descriptor offers, or undefined when it is not for this machine. */
function readDescriptor(text: string): (UefiFirmware & { readonly secureBoot: boolean }) | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not a descriptor: the next one may be.
    return undefined;
  }
  const types = list(at(value, "interface-types"));
  const features = list(at(value, "features"));
  const mapping = at(value, "mapping");
  const fits = list(at(value, "targets")).some(
    (target) =>
      at(target, "architecture") === "x86_64" &&
      list(at(target, "machines")).some((pattern) => typeof pattern === "string" && matchesGlob(machine, pattern)),
  );
  const code = flashImage(at(mapping, "executable"));
  const variables = flashImage(at(mapping, "nvram-template"));
  if (!fits || !types.includes("uefi") || at(mapping, "device") !== "flash" || code === undefined) return undefined;
  // "stateless" and "combined" firmware keeps no variables of its own.
  if (variables === undefined || !["split", undefined].includes(at(mapping, "mode") as string | undefined))
    return undefined;
  return {
    code,
    variables,
    needsSmm: features.includes("requires-smm"),
    hasKeys: features.includes("enrolled-keys"),
    secureBoot: features.includes("secure-boot"),
  };
}

function flashImage(value: unknown): FlashImage | undefined {
  const [path, format] = [at(value, "filename"), at(value, "format") ?? "raw"];
  return typeof path === "string" && typeof format === "string" ? { path, format } : undefined;
}

function at(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

async function names(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => name.endsWith(".json"));
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}
