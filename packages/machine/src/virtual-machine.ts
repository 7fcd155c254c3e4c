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

/** A credential in a file that holds the whole text of its SMBIOS string. */
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
  readonly network: "user" | "none";
  readonly console: ConsoleOwner;
  /** A Unix socket that the guest's exit status comes through. */
  readonly statusSocket: string;
  /** A Unix socket that QEMU is controlled by. */
  readonly controlSocket: string;
  /** Given to QEMU as they are, after all others. */
  readonly extraArguments: readonly string[];
}
