import { expect, test } from "vitest";
import { qemuArguments } from "./qemu-arguments.ts";
import type { VirtualMachine } from "./virtual-machine.ts";

const machine: VirtualMachine = {
  name: "thing",
  accelerator: "tcg",
  qemuVersion: 7,
  cpus: 2,
  ram: 1024 ** 3,
  boot: { kind: "bios" },
  disks: [{ path: "/images/a,b.raw", format: "raw", ephemeral: true, kind: "disk", sectorSize: 512 }],
  credentials: [{ name: "x", path: "/run/c" }],
  drives: [],
  shares: [],
  network: "user",
  forwardSsh: false,
  journalSocket: undefined,
  tpmSocket: undefined,
  vsockConnection: undefined,
  screen: false,
  console: "pipes",
  statusSocket: "/run/status",
  controlSocket: "/run/control",
  extraArguments: ["-device", "e1000"],
};

/** The values of an option, in order. */
function valuesOf(args: readonly string[], option: string): string[] {
  return args.flatMap((argument, index) => (argument === option ? [args[index + 1] ?? ""] : []));
}

test("a machine's parts are on the command line, and the caller's own arguments last", () => {
  const args = qemuArguments(machine);
  expect(args.slice(-2)).toEqual(["-device", "e1000"]);
  expect(valuesOf(args, "-smp")).toEqual(["2"]);
  expect(valuesOf(args, "-m")).toEqual(["1024M"]);
  expect(valuesOf(args, "-smbios")).toEqual(["type=11,path=/run/c"]);
  expect(valuesOf(args, "-drive")).toEqual([
    "if=none,id=disk0,format=raw,file=/images/a,,b.raw,discard=unmap,snapshot=on,cache=unsafe",
  ]);
  expect(valuesOf(args, "-nic")).toEqual(["user,model=virtio-net-pci"]);
  expect(valuesOf(qemuArguments({ ...machine, network: "none" }), "-nic")).toEqual(["none"]);
});

test("an image that is not ephemeral keeps what the guest writes", () => {
  const disks = machine.disks.map((disk) => ({ ...disk, ephemeral: false }));
  const [drive = ""] = valuesOf(qemuArguments({ ...machine, disks }), "-drive");
  expect(drive).not.toContain("snapshot");
  expect(drive).not.toContain("unsafe");
});

const cpu = (changes: Partial<VirtualMachine>): string[] => valuesOf(qemuArguments({ ...machine, ...changes }), "-cpu");

test("emulation avoids the instruction that old versions get wrong", () => {
  expect(cpu({})).toEqual(["max,-cx16"]);
  expect(cpu({ qemuVersion: 10 })).toEqual(["max"]);
  expect(cpu({ accelerator: "kvm" })).toEqual(["host"]);
});

test("a kernel of its own is loaded with initrd and command line", () => {
  const args = qemuArguments({
    ...machine,
    boot: { kind: "linux", kernel: "/k", initrd: "/i", kernelCommandLine: ["root=/dev/vda1", "quiet"] },
  });
  expect([valuesOf(args, "-kernel"), valuesOf(args, "-initrd"), valuesOf(args, "-append")]).toEqual([
    ["/k"],
    ["/i"],
    ["root=/dev/vda1 quiet"],
  ]);
});

test("firmware is flash: code read-only, variables a copy, protected where Secure Boot needs it", () => {
  const boot = {
    kind: "uefi" as const,
    code: { path: "/code", format: "raw" },
    variables: { path: "/variables", format: "raw" },
    needsSmm: true,
    program: undefined,
    kernelCommandLine: ["a=b,c"],
  };
  const args = qemuArguments({ ...machine, boot });
  expect(valuesOf(args, "-machine")).toEqual(["q35,smm=on"]);
  expect(valuesOf(args, "-global")).toContain("driver=cfi.pflash01,property=secure,value=on");
  expect(valuesOf(args, "-drive").slice(0, 2)).toEqual([
    "if=pflash,unit=0,format=raw,readonly=on,file=/code",
    "if=pflash,unit=1,format=raw,file=/variables",
  ]);
  expect(valuesOf(args, "-smbios")).toEqual([
    "type=11,value=io.systemd.stub.kernel-cmdline-extra=a=b,,c",
    "type=11,value=io.systemd.boot.kernel-cmdline-extra=a=b,,c",
    "type=11,path=/run/c",
  ]);
  expect(valuesOf(qemuArguments({ ...machine, boot: { ...boot, needsSmm: false } }), "-machine")).toEqual([
    "q35,smm=off",
  ]);
});

test("firmware can be handed the program to start, and a machine needs no disk then", () => {
  const flash = { path: "/f", format: "raw" };
  const boot = { kind: "uefi" as const, code: flash, variables: flash, needsSmm: false, kernelCommandLine: [] };
  const args = qemuArguments({ ...machine, disks: [], boot: { ...boot, program: "/thing.efi" } });
  expect(valuesOf(args, "-kernel")).toEqual(["/thing.efi"]);
  expect(args.some((argument) => argument.includes("disk0"))).toBe(false);
});

const device = (kind: "disk" | "removable" | "cdrom", sectorSize: number): string =>
  valuesOf(
    qemuArguments({ ...machine, disks: machine.disks.map((disk) => ({ ...disk, kind, sectorSize })) }),
    "-device",
  ).find((value) => value.includes("drive=disk0")) ?? "";

test("disks are what the settings say, with the image's sector size", () => {
  expect(device("disk", 4096)).toBe(
    "virtio-blk-pci,drive=disk0,bootindex=1,logical_block_size=4096,physical_block_size=4096",
  );
  expect(device("removable", 512)).toMatch(/^scsi-hd,bus=scsi0\.0,.*removable=on$/);
  expect(device("cdrom", 512)).toBe("scsi-cd,bus=scsi0.0,drive=disk0,bootindex=1");
});

test("networks: a port for SSH, a tap device, VSOCK", () => {
  const nic = (changes: Partial<VirtualMachine>): string[] =>
    valuesOf(qemuArguments({ ...machine, ...changes }), "-nic");
  expect(nic({ forwardSsh: true })).toEqual(["user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:0-:22"]);
  expect(nic({ journalSocket: "/j" })).toEqual([
    "user,model=virtio-net-pci,guestfwd=tcp:10.0.2.100:19531-chardev:journal",
  ]);
  expect(nic({ network: "interface" })).toEqual(["tap,script=no,downscript=no,model=virtio-net-pci"]);
  expect(valuesOf(qemuArguments({ ...machine, vsockConnection: 7 }), "-device")).toContain(
    "vhost-vsock-pci,guest-cid=7",
  );
});

test("drives get a device unless an argument of the caller's names them, and their own options last", () => {
  const drives = ["one", "two"].map((id) => ({ id, path: "/proc/self/fd/3", options: "cache=none" }));
  const args = qemuArguments({ ...machine, drives, extraArguments: ["-device", "nvme,drive=two,serial=x"] });
  expect(valuesOf(args, "-device")).toContain("virtio-blk-pci,drive=one,serial=one");
  expect(args.filter((argument) => argument.includes("drive=two"))).toEqual(["nvme,drive=two,serial=x"]);
  expect(valuesOf(args, "-drive").at(-1)).toMatch(/^if=none,id=two,format=raw,.*,cache=none$/);
});

test("the memory is shared with virtiofsd only", () => {
  const args = qemuArguments({ ...machine, shares: [{ kind: "virtiofs", tag: "share0", socket: "/s" }] });
  expect(valuesOf(args, "-machine")).toEqual(["q35,smm=off,memory-backend=memory"]);
  expect(valuesOf(args, "-object")).toContain("memory-backend-memfd,id=memory,size=1024M,share=on");
  expect(valuesOf(qemuArguments(machine), "-machine")).toEqual(["q35,smm=off"]);
});
