/**
 * How an image is run after the build: the settings of [Runtime], and what of the others decides how
 * it boots. Names are mkosi's setting names in camelCase.
 * @module
 */
import type { Feature } from "./image-config.ts";
import type { SettingValue } from "./kind.ts";
import { textOf } from "./kind.ts";
import { effective } from "./merge.ts";
import { findSetting } from "./settings.ts";
import type { State } from "./state.ts";

export type Firmware = "auto" | "linux" | "uefi" | "uefi-secure-boot" | "bios";
export type ConsoleMode = "interactive" | "read-only" | "native" | "gui";

export interface RuntimeConfig {
  /** Name of the running machine. */
  readonly machine: string | undefined;
  /** Changes to the image are thrown away. */
  readonly ephemeral: boolean;
  readonly credentials: Readonly<Record<string, string>>;
  readonly kernelCommandLine: readonly string[];
  readonly kernelCommandLineExtra: readonly string[];
  readonly runtimeNetwork: "interface" | "user" | "none";
  readonly console: ConsoleMode;
  /** 0 is all of this machine's. */
  readonly cpus: number;
  /** Bytes. */
  readonly ram: number;
  readonly kvm: Feature;
  readonly cdrom: boolean;
  readonly removable: boolean;
  readonly firmware: Firmware;
  /** Absolute path, or one of the words custom, microsoft, microsoft-mok. */
  readonly firmwareVariables: string | undefined;
  readonly secureBoot: boolean;
  /** A kernel that is booted without a boot loader, and the initrds that go with it. Absolute. */
  readonly linux: string | undefined;
  readonly initrds: readonly string[];
  readonly qemuArgs: readonly string[];
  /** A file of systemd.nspawn(5). Absolute. */
  readonly nspawnSettings: string | undefined;
  readonly virtualMachineMonitor: "qemu" | "vmspawn";
}

/** The part of a project's settings that running its image takes. */
export function runtimeConfig(state: State): RuntimeConfig {
  const get = (name: string): SettingValue => {
    const setting = findSetting(name);
    if (setting === undefined) throw new RangeError(`no setting ${name}`);
    return effective(setting, state).value;
  };
  const text = (name: string): string | undefined => {
    const value = get(name);
    return typeof value === "string" ? value : undefined;
  };
  const number = (name: string, otherwise: number): number => {
    const value = get(name);
    return typeof value === "number" ? value : otherwise;
  };
  const strings = (name: string): string[] => {
    const value = get(name);
    return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
  };
  const credentials = get("Credentials");
  return {
    machine: text("Machine"),
    ephemeral: get("Ephemeral") === true,
    credentials:
      typeof credentials === "object" && credentials !== null
        ? Object.fromEntries(Object.entries(credentials).map(([name, value]) => [name, textOf(value)]))
        : {},
    kernelCommandLine: strings("KernelCommandLine"),
    kernelCommandLineExtra: strings("KernelCommandLineExtra"),
    runtimeNetwork: (text("RuntimeNetwork") ?? "user") as RuntimeConfig["runtimeNetwork"],
    console: (text("Console") ?? "native") as ConsoleMode,
    cpus: number("CPUs", 1),
    ram: number("RAM", 2 * 1024 ** 3),
    kvm: (text("KVM") ?? "auto") as Feature,
    cdrom: get("CDROM") === true,
    removable: get("Removable") === true,
    firmware: (text("Firmware") ?? "auto") as Firmware,
    firmwareVariables: text("FirmwareVariables"),
    secureBoot: get("SecureBoot") === true,
    linux: text("Linux"),
    initrds: strings("Initrds"),
    qemuArgs: strings("QemuArgs"),
    nspawnSettings: text("NSpawnSettings"),
    virtualMachineMonitor: (text("VirtualMachineMonitor") ?? "qemu") as RuntimeConfig["virtualMachineMonitor"],
  };
}
