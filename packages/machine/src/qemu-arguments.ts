/**
 * From a virtual machine to QEMU's arguments. Nothing here looks at the host.
 * @module
 */
import type { Boot, MachineDisk, MachineDrive, MachineShare, VirtualMachine } from "./virtual-machine.ts";

/** The name by which the guest finds the port that its exit status goes to: /dev/virtio-ports/NAME. */
export const statusPort = "io.imgtool.exit-status";

/** Where the guest finds what receives its journal: in QEMU's own network 10.0.2.0/24. */
export const guestJournalAddress = "10.0.2.100:19531";

/** The arguments for qemu-system-x86_64. */
export function qemuArguments(machine: VirtualMachine): string[] {
  const { boot, accelerator } = machine;
  const secure = boot.kind === "uefi" && boot.needsSmm;
  return [
    "-name",
    quoted(machine.name),
    // What a machine has is said here, not in the host's configuration of QEMU.
    "-no-user-config",
    "-nodefaults",
    "-machine",
    `q35,smm=${secure ? "on" : "off"}${sharesMemory(machine.shares) ? ",memory-backend=memory" : ""}`,
    "-accel",
    accelerator,
    "-cpu",
    cpu(machine),
    "-smp",
    String(machine.cpus),
    "-m",
    `${megabytes(machine)}M`,
    ...(sharesMemory(machine.shares)
      ? ["-object", `memory-backend-memfd,id=memory,size=${megabytes(machine)}M,share=on`]
      : []),
    ...bootArguments(boot),
    ...machine.disks.flatMap((disk, index) => diskArguments(disk, index)),
    ...machine.credentials.flatMap(({ path }) => ["-smbios", `type=11,path=${quoted(path)}`]),
    ...machine.drives.flatMap((drive) => driveArguments(drive, machine)),
    ...shareArguments(machine.shares),
    ...(machine.journalSocket === undefined
      ? []
      : ["-chardev", `socket,id=journal,path=${quoted(machine.journalSocket)}`]),
    "-nic",
    nic(machine),
    ...(machine.vsockConnection === undefined
      ? []
      : ["-device", `vhost-vsock-pci,guest-cid=${machine.vsockConnection}`]),
    ...tpmArguments(machine),
    // Without it the first keys of a guest under software emulation wait for entropy.
    "-object",
    "rng-random,id=rng0,filename=/dev/urandom",
    "-device",
    "virtio-rng-pci,rng=rng0",
    // Without -display QEMU opens the window that it is built for.
    ...(machine.screen ? ["-vga", "virtio"] : ["-display", "none", "-vga", "none"]),
    ...consoleArguments(machine),
    "-device",
    "virtio-serial-pci",
    "-chardev",
    `socket,id=status,path=${quoted(machine.statusSocket)}`,
    "-device",
    `virtserialport,chardev=status,name=${statusPort}`,
    "-qmp",
    `unix:${quoted(machine.controlSocket)},server=on,wait=off`,
    ...machine.extraArguments,
  ];
}

function cpu({ accelerator, qemuVersion }: Pick<VirtualMachine, "accelerator" | "qemuVersion">): string {
  if (accelerator === "kvm") return "host";
  // QEMU 7.2 emulates cmpxchg16b with wrong flags: Linux's allocator then loses memory and crashes.
  // Newer guests (x86-64-v2) need the instruction, and newer versions of QEMU have it right.
  return qemuVersion < 8 ? "max,-cx16" : "max";
}

function megabytes({ ram }: Pick<VirtualMachine, "ram">): number {
  return Math.ceil(ram / 1024 ** 2);
}

/** virtiofsd reads and writes the guest's memory itself. */
function sharesMemory(shares: readonly MachineShare[]): boolean {
  return shares.some(({ kind }) => kind === "virtiofs");
}

/** A drive that no device of the caller's names would reach nobody: it becomes a virtio disk. */
function driveArguments({ id, path, options }: MachineDrive, { extraArguments }: VirtualMachine): string[] {
  const drive = [
    "if=none",
    `id=${id}`,
    "format=raw",
    `file=${quoted(path)}`,
    // Drives can share a file, and none of them outlives the machine.
    "file.locking=off",
    "discard=unmap",
    "cache=unsafe",
    ...(options === undefined ? [] : [options]),
  ].join(",");
  const isTaken = extraArguments.some((argument) => argument.split(",").includes(`drive=${id}`));
  return ["-drive", drive, ...(isTaken ? [] : ["-device", `virtio-blk-pci,drive=${id},serial=${id.slice(0, 20)}`])];
}

function shareArguments(shares: readonly MachineShare[]): string[] {
  return shares.flatMap((share) => {
    const { tag } = share;
    return share.kind === "9p"
      ? [
          "-fsdev",
          `local,id=${tag},path=${quoted(share.source)},security_model=none,multidevs=remap`,
          "-device",
          `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`,
        ]
      : [
          "-chardev",
          `socket,id=${tag},path=${quoted(share.socket)}`,
          "-device",
          `vhost-user-fs-pci,queue-size=1024,chardev=${tag},tag=${tag}`,
        ];
  });
}

function nic({ network, forwardSsh, journalSocket }: VirtualMachine): string {
  if (network === "none") return "none";
  if (network === "interface") return "tap,script=no,downscript=no,model=virtio-net-pci";
  return [
    "user,model=virtio-net-pci",
    ...(forwardSsh ? ["hostfwd=tcp:127.0.0.1:0-:22"] : []),
    ...(journalSocket === undefined ? [] : [`guestfwd=tcp:${guestJournalAddress}-chardev:journal`]),
  ].join(",");
}

function tpmArguments({ tpmSocket }: VirtualMachine): string[] {
  if (tpmSocket === undefined) return [];
  return [
    "-chardev",
    `socket,id=tpm,path=${quoted(tpmSocket)}`,
    "-tpmdev",
    "emulator,id=tpm0,chardev=tpm",
    "-device",
    "tpm-tis,tpmdev=tpm0",
  ];
}

function bootArguments(boot: Boot): string[] {
  if (boot.kind === "bios") return [];
  if (boot.kind === "linux") {
    return [
      "-kernel",
      boot.kernel,
      ...(boot.initrd === undefined ? [] : ["-initrd", boot.initrd]),
      ...(boot.kernelCommandLine.length === 0 ? [] : ["-append", boot.kernelCommandLine.join(" ")]),
    ];
  }
  const { code, variables, needsSmm, program } = boot;
  const extra = boot.kernelCommandLine.join(" ");
  return [
    ...(needsSmm ? ["-global", "driver=cfi.pflash01,property=secure,value=on"] : []),
    // OVMF with SMM does not wake up from S3.
    ...(needsSmm ? ["-global", "ICH9-LPC.disable_s3=1"] : []),
    "-drive",
    `if=pflash,unit=0,format=${code.format},readonly=on,file=${quoted(code.path)}`,
    "-drive",
    `if=pflash,unit=1,format=${variables.format},file=${quoted(variables.path)}`,
    ...(program === undefined ? [] : ["-kernel", program]),
    // systemd-stub(7) and systemd-boot(7) read these.
    ...(extra === ""
      ? []
      : ["stub", "boot"].flatMap((part) => [
          "-smbios",
          `type=11,value=${quoted(`io.systemd.${part}.kernel-cmdline-extra=${extra}`)}`,
        ])),
  ];
}

function diskArguments(disk: MachineDisk, index: number): string[] {
  const id = `disk${index}`;
  const drive = [
    "if=none",
    `id=${id}`,
    `format=${disk.format}`,
    `file=${quoted(disk.path)}`,
    ...(disk.kind === "cdrom" ? ["readonly=on"] : ["discard=unmap"]),
    // Nobody reads what a throw-away disk holds after a crash.
    ...(disk.ephemeral && disk.kind !== "cdrom" ? ["snapshot=on", "cache=unsafe"] : []),
  ].join(",");
  const common = `drive=${id},bootindex=${index + 1}`;
  const blocks = `logical_block_size=${disk.sectorSize},physical_block_size=${disk.sectorSize}`;
  const device = {
    disk: ["-device", `virtio-blk-pci,${common},${blocks}`],
    removable: [
      "-device",
      `virtio-scsi-pci,id=scsi${index}`,
      "-device",
      `scsi-hd,bus=scsi${index}.0,${common},${blocks},removable=on`,
    ],
    cdrom: ["-device", `virtio-scsi-pci,id=scsi${index}`, "-device", `scsi-cd,bus=scsi${index}.0,${common}`],
  }[disk.kind];
  return ["-drive", drive, ...device];
}

function consoleArguments({ console }: Pick<VirtualMachine, "console">): string[] {
  if (console === "pipes") return ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"];
  return [
    "-chardev",
    "stdio,id=console,mux=on,signal=off",
    "-serial",
    "chardev:console",
    "-mon",
    "chardev=console,mode=readline",
  ];
}

/** In QEMU's option lists a comma ends a value unless it is doubled. */
function quoted(value: string): string {
  return value.replaceAll(",", ",,");
}
