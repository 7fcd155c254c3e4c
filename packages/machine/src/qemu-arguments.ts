/**
 * From a virtual machine to QEMU's arguments. Nothing here looks at the host.
 * @module
 */
import type { Boot, MachineDisk, VirtualMachine } from "./virtual-machine.ts";

/** The name by which the guest finds the port that its exit status goes to: /dev/virtio-ports/NAME. */
export const statusPort = "io.imgtool.exit-status";

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
    `q35,smm=${secure ? "on" : "off"}`,
    "-accel",
    accelerator,
    "-cpu",
    cpu(machine),
    "-smp",
    String(machine.cpus),
    "-m",
    `${Math.ceil(machine.ram / 1024 ** 2)}M`,
    ...bootArguments(boot),
    ...machine.disks.flatMap((disk, index) => diskArguments(disk, index)),
    ...machine.credentials.flatMap(({ path }) => ["-smbios", `type=11,path=${quoted(path)}`]),
    ...(machine.network === "user" ? ["-nic", "user,model=virtio-net-pci"] : ["-nic", "none"]),
    // Without it the first keys of a guest under software emulation wait for entropy.
    "-object",
    "rng-random,id=rng0,filename=/dev/urandom",
    "-device",
    "virtio-rng-pci,rng=rng0",
    "-display",
    "none",
    "-vga",
    "none",
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
  const { code, variables, needsSmm } = boot;
  const extra = boot.kernelCommandLine.join(" ");
  return [
    ...(needsSmm ? ["-global", "driver=cfi.pflash01,property=secure,value=on"] : []),
    // OVMF with SMM does not wake up from S3.
    ...(needsSmm ? ["-global", "ICH9-LPC.disable_s3=1"] : []),
    "-drive",
    `if=pflash,unit=0,format=${code.format},readonly=on,file=${quoted(code.path)}`,
    "-drive",
    `if=pflash,unit=1,format=${variables.format},file=${quoted(variables.path)}`,
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
