/** Addons to unified kernel images: one EFI program each. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { peContent, readPe } from "@imgtool/boot/pe";
import type { ImageConfig } from "@imgtool/config";
import {
  makeStub,
  needPrograms,
  needRoot,
  run,
  stubSections,
  temporaryFolder,
  testCertificate,
  testKernel,
  testKey,
  type TemporaryFolder,
} from "@imgtool/testkit";
import { expect, test } from "vitest";
import { build } from "../src/index.ts";
import { testConfig } from "./config.ts";

const version = "6.1.0-test";
const stubFolder = "usr/lib/systemd/boot/efi";

function system(folder: TemporaryFolder, changes: Partial<ImageConfig> = {}): ImageConfig {
  const files: Readonly<Record<string, Uint8Array | string>> = {
    [`usr/lib/modules/${version}/modules.builtin`]: "",
    [`usr/lib/modules/${version}/modules.order`]: "",
    [`usr/lib/modules/${version}/vmlinuz`]: testKernel,
    [`${stubFolder}/linuxx64.efi.stub`]: makeStub(),
    [`${stubFolder}/addonx64.efi.stub`]: makeStub({ sections: stubSections.filter(({ name }) => name !== ".sbat") }),
    "usr/lib/os-release": "ID=test\n",
    "usr/lib/systemd/systemd": "pid 1",
    "usr/lib/firmware/amd-ucode/microcode_amd.bin": "amd",
  };
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(folder.join("tree", name)), { recursive: true });
    writeFileSync(folder.join("tree", name), content);
  }
  return testConfig(folder.path, {
    format: "uki",
    compressOutput: "zstd",
    skeletonTrees: [{ source: folder.join("tree"), target: "/" }],
    kernelCommandLine: ["console=ttyS0", "quiet"],
    ...changes,
  });
}

function readProgram(folder: TemporaryFolder): { names: string[]; section: (name: string) => string } {
  const program = readFileSync(folder.join("out/thing.efi"));
  const headers = readPe(program);
  return {
    names: headers.sections
      .map(({ name }) => name)
      .slice(headers.sections.findIndex(({ name }) => name === ".sdmagic")),
    section: (name) => Buffer.from(peContent(program, headers, name) ?? []).toString("latin1"),
  };
}

/** Names of what an archive that zstd has compressed holds. */
function listArchive(folder: TemporaryFolder, archive: string): string[] {
  writeFileSync(folder.join("archive"), Buffer.from(archive, "latin1"));
  return run("sh", ["-c", 'zstd -dc < "$0" | cpio --quiet -t', folder.join("archive")])
    .trim()
    .split("\n");
}

test("Format=addon: a command line, and what is new since the base", async (context) => {
  needRoot(context);
  needPrograms(context, "cpio", "zstd", "sbverify");
  using folder = temporaryFolder();
  const base = system(folder);
  mkdirSync(folder.join("extra/etc"), { recursive: true });
  writeFileSync(folder.join("extra/etc/thing.conf"), "a=1\n");
  const addon: ImageConfig = {
    ...base,
    format: "addon",
    skeletonTrees: [],
    baseTrees: [folder.join("tree")],
    overlay: true,
    secureBoot: true,
    secureBootKey: folder.join("key.pem"),
    secureBootCertificate: folder.join("crt.pem"),
  };
  writeFileSync(folder.join("key.pem"), testKey);
  writeFileSync(folder.join("crt.pem"), testCertificate);
  await build(addon);
  // Nothing is new: a command line alone.
  expect(readProgram(folder).names).toEqual([".sdmagic", ".cmdline", ".sbat"]);
  expect(readProgram(folder).section(".sbat")).toContain("\nuki-addon,1,");
  expect(run("sbverify", ["--cert", folder.join("crt.pem"), folder.join("out/thing.efi")])).toContain("OK");
  const record = await build(
    { ...addon, extraTrees: [{ source: folder.join("extra"), target: "/" }], kernelCommandLine: [] },
    { force: true },
  );
  expect(record.artifacts[0]).toMatchObject({ kind: "addon", path: "thing.efi" });
  const { names, section } = readProgram(folder);
  expect(names).toEqual([".sdmagic", ".initrd", ".sbat"]);
  expect(listArchive(folder, section(".initrd"))).toEqual(["etc", "etc/thing.conf"]);
});

test("an addon without its stub, or without UEFI, is said to be none", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  const empty = system(folder, { format: "addon", skeletonTrees: [] });
  await expect(build(empty)).rejects.toMatchObject({ code: "stub-missing" });
  await expect(build({ ...empty, architecture: "s390x" })).rejects.toMatchObject({ code: "not-bootable" });
  await expect(build({ ...empty, bootable: "enabled" })).rejects.toMatchObject({ code: "not-bootable" });
});
