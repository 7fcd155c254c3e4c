/**
 * [Runtime], once [Host]: how an image is run after the build.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { list } from "../kind.ts";
import { boolean, bytes, choice, driveOf, feature, integer, pairs, text, texts, vsockConnection } from "../kinds.ts";
import { path, pathOf, trees } from "../path-kinds.ts";
import type { KindContext } from "../kind.ts";
import { baseName, compareText } from "../paths.ts";
import { rowsOf } from "../setting.ts";
import type { SettingDefinition, SettingOption } from "../setting.ts";

const row = rowsOf("Runtime");
const switchOption: SettingOption = { argument: "BOOL", optional: true };
const featureOption: SettingOption = { argument: "FEATURE", optional: true };

/** Credentials from a file, or from each file of a folder. */
function credentialsFrom(value: string, context: KindContext): ReadonlyMap<string, string> {
  const root = pathOf(value, context);
  const names = context.files.list(root);
  const found = new Map<string, string>();
  const files = names === undefined ? [root] : [...names].sort(compareText).map((name) => `${root}/${name}`);
  for (const file of files) {
    const status = context.files.status(file);
    if (status?.kind === "directory") continue;
    const content = status?.executable === true ? context.files.runText?.(file) : context.files.readText(file);
    if (content === undefined) throw new ConfigError(`cannot read ${file}`, { code: "path-unreadable" });
    found.set(baseName(file), content);
  }
  return found;
}

export const runtimeSettings: readonly SettingDefinition[] = [
  row("NSpawnSettings", path(), "Settings file of systemd-nspawn", {
    supported: true,
    files: ["mkosi.nspawn"],
    option: { long: "settings", argument: "PATH" },
  }),
  row("Ephemeral", boolean, "Run on a copy that is thrown away", { supported: true, option: switchOption }),
  row(
    "Credentials",
    pairs(() => "", credentialsFrom),
    "Credentials for the running system: NAME=VALUE, a file or a folder",
    { supported: true, files: ["mkosi.credentials"], option: { long: "credential", argument: "NAME=VALUE" } },
  ),
  row(
    "KernelCommandLineExtra",
    texts("options", { separator: " " }),
    "Further kernel command line of virtual machines",
    { supported: true, option: { argument: "OPTIONS" } },
  ),
  row(
    "RuntimeTrees",
    trees({ absolute: false }),
    "Folders that the running system sees: SOURCE[:TARGET], the target below /root/src",
    { supported: true, option: { long: "runtime-tree", argument: "PATH" } },
  ),
  row("RuntimeSize", bytes, "Size that the image's disk is grown to before it runs", {
    supported: true,
    option: { argument: "SIZE" },
  }),
  row("RuntimeScratch", feature, "Give the running system throw-away space at /var/tmp", {
    supported: true,
    option: { argument: "FEATURE" },
  }),
  row("RuntimeNetwork", choice(["interface", "user", "none"]), "Network of the running system", {
    supported: true,
    default: "user",
  }),
  row("RuntimeBuildSources", boolean, "Let the running system see the build sources at /work", {
    supported: true,
    option: { argument: "BOOL" },
  }),
  row("RuntimeHome", boolean, "Let the running system see the home directory at /root", {
    supported: true,
    option: { argument: "BOOL" },
  }),
  row("UnitProperties", texts("properties", { separator: " ", quoted: true }), "Properties of the unit it runs in", {
    supported: true,
    option: { long: "unit-property", argument: "PROPERTY" },
  }),
  row("SshKey", path({ secret: true }), "Private key that imgtool ssh uses", {
    supported: true,
    files: ["mkosi.key"],
    option: { argument: "PATH" },
  }),
  row("SshCertificate", path(), "Certificate whose key may log in as root by SSH", {
    supported: true,
    files: ["mkosi.crt"],
    option: { argument: "PATH" },
  }),
  row("VirtualMachineMonitor", choice(["qemu", "vmspawn"]), "Program that runs virtual machines", {
    supported: true,
    default: "qemu",
    option: { long: "vmm", argument: "NAME" },
  }),
  row("Machine", text, "Name of the running machine", { supported: true, option: { argument: "NAME" } }),
  row("ForwardJournal", path({ required: false }), "File (*.journal) or folder that receives the journal", {
    supported: true,
    option: { argument: "PATH" },
  }),
  row("SysupdateDirectory", path(), "Folder with the transfer definitions of systemd-sysupdate", {
    files: ["mkosi.sysupdate"],
    option: { argument: "PATH", aliases: ["sysupdate-dir"] },
  }),
  row("Console", choice(["interactive", "read-only", "native", "gui"]), "How the console is shown", {
    supported: true,
    default: "native",
    option: { argument: "MODE", optional: true },
  }),
  row("CPUs", integer(0), "Number of processors of a virtual machine", {
    supported: true,
    default: 1,
    aliases: ["QemuSmp"],
    option: { argument: "NUMBER", aliases: ["qemu-smp"] },
  }),
  row("RAM", bytes, "Memory of a virtual machine", {
    supported: true,
    default: 2 * 1024 ** 3,
    aliases: ["QemuMem"],
    option: { argument: "SIZE", aliases: ["qemu-mem"] },
  }),
  row("KVM", feature, "Use hardware virtualization", {
    supported: true,
    aliases: ["QemuKvm"],
    option: { ...featureOption, aliases: ["qemu-kvm"] },
  }),
  row("VSock", feature, "Connect a virtual machine by VSOCK", {
    supported: true,
    aliases: ["QemuVsock"],
    option: { ...featureOption, aliases: ["qemu-vsock"] },
  }),
  row("VSockCID", vsockConnection, "VSOCK connection number", {
    supported: true,
    default: -1,
    aliases: ["QemuVsockConnectionId"],
    option: { argument: "NUMBER|auto|hash", aliases: ["qemu-vsock-cid"] },
  }),
  row("TPM", feature, "Give a virtual machine a software TPM", {
    supported: true,
    aliases: ["QemuSwtpm"],
    option: { ...featureOption, aliases: ["qemu-swtpm"] },
  }),
  row("CDROM", boolean, "Attach the image as a CD-ROM", {
    supported: true,
    aliases: ["QemuCdrom"],
    option: { ...switchOption, aliases: ["qemu-cdrom"] },
  }),
  row("Removable", boolean, "Attach the image as a removable disk", {
    supported: true,
    aliases: ["QemuRemovable"],
    option: { ...switchOption, aliases: ["qemu-removable"] },
  }),
  row("Firmware", choice(["auto", "linux", "uefi", "uefi-secure-boot", "bios"]), "Firmware of a virtual machine", {
    supported: true,
    default: "auto",
    aliases: ["QemuFirmware"],
    option: { aliases: ["qemu-firmware"] },
  }),
  row(
    "FirmwareVariables",
    path({ words: ["custom", "microsoft", "microsoft-mok"] }),
    "File with the firmware's variables",
    {
      supported: true,
      aliases: ["QemuFirmwareVariables"],
      option: { argument: "PATH", aliases: ["qemu-firmware-variables"] },
    },
  ),
  row("Linux", path(), "Kernel that a virtual machine boots directly", {
    supported: true,
    aliases: ["QemuKernel"],
    option: { argument: "PATH", aliases: ["qemu-kernel"] },
  }),
  row(
    "Drives",
    list("ID:SIZE[:DIRECTORY[:OPTIONS[:FILE_ID]]]", (value, context) => driveOf(value, pathOf, context), {
      separator: " ",
    }),
    "Further disks of a virtual machine",
    { supported: true, aliases: ["QemuDrives"], option: { long: "drive", argument: "DRIVE", aliases: ["qemu-drive"] } },
  ),
  row("QemuArgs", texts("arguments", { separator: " ", quoted: true }), "Further arguments of QEMU", {
    supported: true,
    option: { argument: "ARGUMENTS", hidden: true },
  }),
  row("Register", feature, "Register the running container with systemd-machined", {
    supported: true,
    option: { argument: "BOOL" },
  }),
];
