/**
 * How an image is run after the build: the settings of [Runtime], and what of the others decides how
 * it boots. Names are mkosi's setting names in camelCase.
 * @module
 */
import type { Feature, TreeSource } from "./image-config.ts";
import type { SettingValue } from "./kind.ts";
import { textOf } from "./kind.ts";
import { effective } from "./merge.ts";
import { findDistribution } from "./names.ts";
import { findSetting } from "./settings.ts";
import type { State } from "./state.ts";

export type Firmware = "auto" | "linux" | "uefi" | "uefi-secure-boot" | "bios";
export type ConsoleMode = "interactive" | "read-only" | "native" | "gui";

/** A further disk of a virtual machine, made empty for it. */
export interface RuntimeDrive {
  /** QEMU's name of the drive. */
  readonly id: string;
  /** Bytes. */
  readonly size: number;
  /** Absolute; the folder that its file is made in. */
  readonly directory: string | undefined;
  /** Further options of QEMU's -drive, separated by commas. */
  readonly options: string | undefined;
  /** Drives with the same one share a file. */
  readonly fileId: string;
}

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
  /** Absolute. */
  readonly secureBootCertificate: string | undefined;
  /** A kernel that is booted without a boot loader, and the initrds that go with it. Absolute. */
  readonly linux: string | undefined;
  readonly initrds: readonly string[];
  readonly qemuArgs: readonly string[];
  /** A file of systemd.nspawn(5). Absolute. */
  readonly nspawnSettings: string | undefined;
  readonly virtualMachineMonitor: "qemu" | "vmspawn";
  readonly drives: readonly RuntimeDrive[];
  /** Folders of this machine, and where the running system sees them; a relative target is below /root/src. */
  readonly runtimeTrees: readonly TreeSource[];
  /** Bytes that the image's disk is grown to. */
  readonly runtimeSize: number | undefined;
  readonly runtimeScratch: Feature;
  readonly runtimeHome: boolean;
  /** What RuntimeBuildSources= lets the running system see: relative targets are below /work/src. */
  readonly runtimeBuildSources:
    | { readonly sources: readonly TreeSource[]; readonly buildDirectory: string | undefined }
    | undefined;
  /** The distribution's usual file system. */
  readonly fileSystem: string;
  readonly tpm: Feature;
  readonly vsock: Feature;
  /** A number from 3, or what finds one. */
  readonly vsockConnection: number | "auto" | "hash";
  /** The image was built with Ssh=yes. */
  readonly ssh: boolean;
  /** Absolute. */
  readonly sshKey: string | undefined;
  readonly sshCertificate: string | undefined;
  readonly unitProperties: readonly string[];
  readonly register: Feature;
  /** Absolute. */
  readonly forwardJournal: string | undefined;
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
  const records = (name: string): { readonly [key: string]: SettingValue }[] => {
    const value = get(name);
    return Array.isArray(value)
      ? value.filter((item) => typeof item === "object" && item !== null && !Array.isArray(item))
      : [];
  };
  const trees = (name: string): TreeSource[] =>
    records(name).map(({ Source, Target }) => ({ source: textOf(Source ?? null), target: textOf(Target ?? null) }));
  const credentials = get("Credentials");
  const connection = number("VSockCID", -1);
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
    secureBootCertificate: text("SecureBootCertificate"),
    linux: text("Linux"),
    initrds: strings("Initrds"),
    qemuArgs: strings("QemuArgs"),
    nspawnSettings: text("NSpawnSettings"),
    virtualMachineMonitor: (text("VirtualMachineMonitor") ?? "qemu") as RuntimeConfig["virtualMachineMonitor"],
    drives: records("Drives").map(({ Id, Size, Directory, Options, FileId }) => ({
      id: textOf(Id ?? null),
      size: Number(Size),
      directory: typeof Directory === "string" ? Directory : undefined,
      options: typeof Options === "string" ? Options : undefined,
      fileId: textOf(FileId ?? null),
    })),
    runtimeTrees: trees("RuntimeTrees"),
    runtimeSize: number("RuntimeSize", 0) || undefined,
    runtimeScratch: (text("RuntimeScratch") ?? "auto") as Feature,
    runtimeHome: get("RuntimeHome") === true,
    runtimeBuildSources:
      get("RuntimeBuildSources") === true
        ? { sources: trees("BuildSources"), buildDirectory: text("BuildDirectory") }
        : undefined,
    fileSystem: findDistribution(text("Distribution") ?? "")?.filesystem ?? "ext4",
    tpm: (text("TPM") ?? "auto") as Feature,
    vsock: (text("VSock") ?? "auto") as Feature,
    vsockConnection: connection === -1 ? "auto" : connection === -2 ? "hash" : connection,
    ssh: get("Ssh") === true,
    sshKey: text("SshKey"),
    sshCertificate: text("SshCertificate"),
    unitProperties: strings("UnitProperties"),
    register: (text("Register") ?? "auto") as Feature,
    forwardJournal: text("ForwardJournal"),
  };
}
