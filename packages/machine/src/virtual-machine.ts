/**
 * What a virtual machine is made of: everything that decides QEMU's command line.
 * @module
 */

/** Where the guest's first instructions come from. */
export type Boot = UefiBoot | BiosBoot | LinuxBoot;

interface UefiBoot {
  readonly kind: "uefi";
  /** The firmware's code, read-only. */
  readonly code: FlashImage;
  /** Its variables, a copy that the guest writes to. */
  readonly variables: FlashImage;
  /** The firmware keeps its variables from the guest in System Management Mode. */
  readonly needsSmm: boolean;
  /** What the firmware starts instead of looking for a boot loader on the disks. */
  readonly program: string | undefined;
  /** Handed to systemd-stub and systemd-boot, version 254 and later. */
  readonly kernelCommandLine: readonly string[];
}

export interface FlashImage {
  readonly path: string;
  readonly format: string;
}

interface BiosBoot {
  readonly kind: "bios";
}

/** QEMU itself loads the kernel. */
interface LinuxBoot {
  readonly kind: "linux";
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly kernelCommandLine: readonly string[];
}

export interface MachineDisk {
  readonly path: string;
  readonly format: "raw" | "qcow2" | "vmdk" | "vhdx";
  /** What the guest writes is thrown away. */
  readonly ephemeral: boolean;
  readonly kind: "disk" | "removable" | "cdrom";
  /** Bytes. */
  readonly sectorSize: number;
}

/** A further disk, which is empty at first. */
export interface MachineDrive {
  /** QEMU's name of it, and its serial number in the guest: /dev/disk/by-id/virtio-ID. */
  readonly id: string;
  /** Its raw file; two drives may have the same. */
  readonly path: string;
  /** Further options of -drive, separated by commas. */
  readonly options: string | undefined;
}

/** A folder of this machine that the guest mounts by its tag. */
export type MachineShare =
  | { readonly kind: "9p"; readonly tag: string; readonly source: string }
  | { readonly kind: "virtiofs"; readonly tag: string; readonly socket: string };

/** "interface" is a tap device, which somebody on this machine, such as systemd-networkd, must set up. */
export type MachineNetwork = "user" | "interface" | "none";

/** A credential in a file: the whole text of its SMBIOS string, or for a container its plain content. */
export interface CredentialFile {
  readonly name: string;
  readonly path: string;
}

/**
 * Who has the guest's serial console: this process through pipes, or QEMU itself with the terminal
 * (Ctrl-A X ends it).
 */
export type ConsoleOwner = "pipes" | "terminal";

export interface VirtualMachine {
  readonly name: string;
  readonly accelerator: "kvm" | "tcg";
  /** QEMU's major version. */
  readonly qemuVersion: number;
  readonly cpus: number;
  /** Bytes. */
  readonly ram: number;
  readonly boot: Boot;
  readonly disks: readonly MachineDisk[];
  readonly credentials: readonly CredentialFile[];
  readonly drives: readonly MachineDrive[];
  readonly shares: readonly MachineShare[];
  readonly network: MachineNetwork;
  /** A free port of this machine's loopback reaches the guest's port 22; with the network "user". */
  readonly forwardSsh: boolean;
  /** A Unix socket that receives the guest's journal, with the network "user". */
  readonly journalSocket: string | undefined;
  /** The control socket of a TPM in software. */
  readonly tpmSocket: string | undefined;
  /** The guest's number for VSOCK. */
  readonly vsockConnection: number | undefined;
  /** A window shows the guest's screen. */
  readonly screen: boolean;
  readonly console: ConsoleOwner;
  /** A Unix socket that the guest's exit status comes through. */
  readonly statusSocket: string;
  /** A Unix socket that QEMU is controlled by. */
  readonly controlSocket: string;
  /** Given to QEMU as they are, after all others. */
  readonly extraArguments: readonly string[];
}
