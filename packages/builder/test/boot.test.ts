import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { peContent, readPe } from "@imgtool/boot/pe";
import type { ImageConfig } from "@imgtool/config";
import {
  makeStub,
  needPrograms,
  needRoot,
  otherTestKey,
  run,
  temporaryFolder,
  testCertificate,
  testKernel,
  testKey,
  tryRun,
  type TemporaryFolder,
} from "@imgtool/testkit";
import { expect, test } from "vitest";
import { build } from "../src/index.ts";
import { testConfig } from "./config.ts";

const efi = "usr/lib/systemd/boot/efi";
const version = "6.1.0-test";

function esp(size: string): string {
  const copy = "CopyFiles=/boot:/\nCopyFiles=/efi:/";
  return `[Partition]\nType=esp\nFormat=vfat\n${copy}\nSizeMinBytes=${size}\nSizeMaxBytes=${size}\n`;
}

/** A tree that has all it takes to boot, but for programs. */
function bootable(
  folder: TemporaryFolder,
  changes: Partial<ImageConfig> = {},
  without: readonly string[] = [],
): ImageConfig {
  const files: Readonly<Record<string, Uint8Array | string>> = {
    [`usr/lib/modules/${version}/modules.builtin`]: "",
    [`boot/vmlinuz-${version}`]: testKernel,
    [`${efi}/linuxx64.efi.stub`]: makeStub(),
    [`${efi}/systemd-bootx64.efi`]: makeStub(),
    "usr/lib/os-release": "ID=test\n",
    "usr/lib/firmware/amd-ucode/microcode_amd.bin": "amd",
    "usr/lib/firmware/amd-ucode/README": "no microcode",
    ...Object.fromEntries([`usr/lib/modules/${version}/modules.order`, "etc/hostname"].map((name) => [name, ""])),
  };
  for (const [name, content] of Object.entries(files)) {
    if (without.includes(name)) continue;
    mkdirSync(dirname(folder.join("tree", name)), { recursive: true });
    writeFileSync(folder.join("tree", name), content);
  }
  writeFileSync(folder.join("initrd"), "the initrd");
  // The default ESP has 512 MiB, which takes a while to digest.
  const root = "[Partition]\nType=root\nFormat=erofs\nCopyFiles=/\nMinimize=best\nVerity=data\nVerityMatchKey=a\n";
  const hash = "[Partition]\nType=root-verity\nVerity=hash\nVerityMatchKey=a\nMinimize=best\n";
  const definitions = {
    "00-esp": esp("8M"),
    "10-root": root,
    ...(changes.verity === "hash" ? { "20-hash": hash } : {}),
  };
  mkdirSync(folder.join("repart"), { recursive: true });
  for (const [name, content] of Object.entries(definitions))
    writeFileSync(
      folder.join(`repart/${name}.conf`),
      changes.verity === "hash" ? content : content.replaceAll(/^Verity.*\n/gm, ""),
    );
  return testConfig(folder.path, {
    format: "disk",
    bootable: "enabled",
    initrds: [folder.join("initrd")],
    extraTrees: [{ source: folder.join("tree"), target: "/" }],
    kernelCommandLine: ["console=ttyS0", "quiet"],
    repartDirectories: [folder.join("repart")],
    ...changes,
  });
}

/** Files of the EFI system partition of a disk. */
function espFiles(image: string, offset: number): string[] {
  const listed = run("mdir", ["-/", "-b", "-i", `${image}@@${offset}`, "::/"]);
  return listed
    .split("\n")
    .filter((line) => line !== "" && !line.endsWith("/"))
    .map((line) => line.slice(3))
    .sort();
}

function readEsp(image: string, offset: number, path: string): Buffer {
  return Buffer.from(run("sh", ["-c", 'mtype -i "$0@@$1" "::$2" | base64 -w0', image, String(offset), path]), "base64");
}

const text = (bytes: Uint8Array | undefined): string => new TextDecoder("latin1").decode(bytes);

test("the ESP holds boot loader and unified kernel image, whose command line names the root hash", async (context) => {
  needRoot(context);
  needPrograms(context, "mdir", "depmod");
  using folder = temporaryFolder();
  const record = await build(bootable(folder, { verity: "hash" }));
  const [disk] = record.artifacts;
  const image = folder.join("out", disk?.path ?? "");
  expect(disk?.partitions?.map(({ type }) => type)).toEqual(["esp", "root-x86-64", "root-x86-64-verity"]);
  const offset = disk?.partitions?.[0]?.offset ?? 0;
  const name = `EFI/Linux/thing-${version}-${disk?.rootHash ?? ""}.efi`;
  expect(espFiles(image, offset)).toEqual(
    [
      "EFI/BOOT/BOOTX64.EFI",
      name,
      "EFI/systemd/systemd-bootx64.efi",
      "loader/entries.srel",
      "loader/loader.conf",
      `vmlinuz-${version}`,
    ].sort(),
  );
  const uki = readEsp(image, offset, `/${name}`);
  const headers = readPe(uki);
  const section = (wanted: string): string => text(peContent(uki, headers, wanted));
  expect(section(".cmdline")).toBe(`roothash=${disk?.rootHash ?? ""} console=ttyS0 quiet\0`);
  expect(section(".uname")).toBe(version);
  expect(section(".osrel")).toContain("ID=test\nIMAGE_ID=");
  expect(section(".linux")).toBe(text(testKernel));
  // Then the modules, compressed.
  expect(section(".initrd")).toMatch(/^the initrd\0\0\x28\xb5\x2f\xfd/);
  // The stub is of 257, which knows this section.
  expect(section(".ucode")).toMatch(/AuthenticAMD\.bin\0+amd\0/);

  const first = readFileSync(image);
  await build(bootable(folder, { verity: "hash" }), { force: true });
  expect(readFileSync(image).equals(first)).toBe(true);
});

test("without a stub there are boot entries of type 1; with Bootloader=uki firmware starts the image itself", async (context) => {
  needRoot(context);
  needPrograms(context, "mdir", "depmod");
  using folder = temporaryFolder();
  const plain = await build(
    bootable(folder, { unifiedKernelImages: "disabled", kernelCommandLine: ["root=PARTUUID"] }),
  );
  const [disk] = plain.artifacts;
  const image = folder.join("out", disk?.path ?? "");
  const offset = disk?.partitions?.[0]?.offset ?? 0;
  const entry = readEsp(image, offset, `/loader/entries/thing-${version}.conf`).toString();
  expect(entry).toContain(`options root=PARTUUID=${disk?.partitions?.[1]?.uuid ?? ""}\n`);
  const named = [...entry.matchAll(/^(?:linux|initrd) (.*)$/gm)].map((match) => match[1] ?? "");
  expect(named).toHaveLength(4);
  const files = espFiles(image, offset);
  for (const path of named) expect(files).toContain(path.slice(1));
  expect(readEsp(image, offset, named[2] ?? "").toString()).toBe("the initrd");

  await build(bootable(folder, { bootloader: "uki" }), { force: true });
  expect(espFiles(image, offset)).toEqual(["EFI/BOOT/BOOTX64.EFI", `vmlinuz-${version}`]);
  expect(text(readEsp(image, offset, "/EFI/BOOT/BOOTX64.EFI"))).toContain("the initrd");
});

test("SecureBoot=yes signs boot loader and unified kernel image; a key that is not the certificate's ends the build", async (context) => {
  needRoot(context);
  needPrograms(context, "mcopy", "depmod", "sbverify");
  using folder = temporaryFolder();
  const [key, certificate] = [folder.join("key.pem"), folder.join("crt.pem")];
  writeFileSync(key, testKey);
  writeFileSync(certificate, testCertificate);
  const config = bootable(folder, { secureBoot: true, secureBootKey: key, secureBootCertificate: certificate });
  const record = await build(config);
  const image = folder.join("out", record.artifacts[0]?.path ?? "");
  const offset = record.artifacts[0]?.partitions?.[0]?.offset ?? 0;
  const programs = espFiles(image, offset).filter((path) => /\.efi$/i.test(path));
  expect(programs).toHaveLength(3);
  for (const path of programs) {
    run("mcopy", ["-n", "-i", `${image}@@${offset}`, `::/${path}`, folder.join("program.efi")]);
    expect(tryRun("sbverify", ["--cert", certificate, folder.join("program.efi")]).stdout.toString(), path).toBe(
      "Signature verification OK\n",
    );
  }
  writeFileSync(key, otherTestKey);
  await expect(build(config, { force: true })).rejects.toMatchObject({ code: "key-mismatch" });
});

test("what an image lacks to boot is said before it is packed, with the package that has it", async (context) => {
  needRoot(context);
  needPrograms(context, "depmod");
  using folder = temporaryFolder();
  const kernel = bootable(folder, {}, [`boot/vmlinuz-${version}`]);
  await expect(build(kernel)).rejects.toMatchObject({ code: "kernel-missing" });
  await expect(build({ ...kernel, bootable: "auto", repartDirectories: [] })).resolves.toMatchObject({
    format: "disk",
  });
  using second = temporaryFolder();
  const stub = bootable(second, { bootloader: "uki" }, [`${efi}/linuxx64.efi.stub`]);
  await expect(build(stub)).rejects.toMatchObject({ code: "stub-missing", hint: "add systemd-boot to Packages=" });
  using third = temporaryFolder();
  const loader = bootable(third, {}, [`${efi}/systemd-bootx64.efi`]);
  await expect(build(loader)).rejects.toMatchObject({ code: "boot-loader-missing" });
  for (const changes of [{ format: "cpio" }, { architecture: "s390x" }, { initrds: [] }] as const)
    await expect(build({ ...loader, ...changes })).rejects.toMatchObject({ code: "not-bootable" });
});

test("a unified kernel image that is larger than the ESP: by how much", async (context) => {
  needRoot(context);
  needPrograms(context, "depmod");
  using folder = temporaryFolder();
  const config = bootable(folder);
  writeFileSync(folder.join("repart/00-esp.conf"), esp("1M"));
  writeFileSync(folder.join("initrd"), Buffer.alloc(2 * 1024 ** 2));
  await expect(build(config)).rejects.toMatchObject({
    code: "esp-full",
    message: expect.stringMatching(/MiB \(\d+ bytes\) more than the partition/) as unknown,
  });
});
