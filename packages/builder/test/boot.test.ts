import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { peContent, readPe } from "@imgtool/boot/pe";
import type { ImageConfig } from "@imgtool/config";
import { silentProgress, type Progress } from "@imgtool/core";
import {
  makeStub,
  needPrograms,
  needRoot,
  otherTestKey,
  run,
  stubSections,
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
  const config = bootable(folder, {
    unifiedKernelImages: "disabled",
    kernelCommandLine: ["root=PARTUUID"],
    devicetree: "vendor/board.dtb",
  });
  await expect(build(config)).rejects.toMatchObject({ code: "devicetree-missing" });
  const devicetrees = folder.join("tree/usr/lib", `linux-image-${version}/vendor`);
  mkdirSync(devicetrees, { recursive: true });
  writeFileSync(`${devicetrees}/board.dtb`, "the device tree");
  const plain = await build(config);
  const [disk] = plain.artifacts;
  const image = folder.join("out", disk?.path ?? "");
  const offset = disk?.partitions?.[0]?.offset ?? 0;
  const entry = readEsp(image, offset, `/loader/entries/thing-${version}.conf`).toString();
  expect(entry).toContain(`options root=PARTUUID=${disk?.partitions?.[1]?.uuid ?? ""}\n`);
  const named = [...entry.matchAll(/^(?:linux|initrd) (.*)$/gm)].map((match) => match[1] ?? "");
  expect(named).toHaveLength(4);
  expect(entry).toContain(`\ndevicetree /thing/${version}/board.dtb\n`);
  expect(readEsp(image, offset, `/thing/${version}/board.dtb`).toString()).toBe("the device tree");
  const files = espFiles(image, offset);
  for (const path of named) expect(files).toContain(path.slice(1));
  expect(readEsp(image, offset, named[2] ?? "").toString()).toBe("the initrd");

  await build({ ...config, unifiedKernelImages: "auto", bootloader: "uki" }, { force: true });
  expect(espFiles(image, offset)).toEqual(["EFI/BOOT/BOOTX64.EFI", `vmlinuz-${version}`]);
  const uki = readEsp(image, offset, "/EFI/BOOT/BOOTX64.EFI");
  expect(text(peContent(uki, readPe(uki), ".initrd"))).toContain("the initrd");
  expect(text(peContent(uki, readPe(uki), ".dtb"))).toBe("the device tree");
});

/** The names in the archive that a unified kernel image unpacks, which zstd has made smaller. */
function initrdNames(uki: Buffer, folder: TemporaryFolder): string[] {
  writeFileSync(
    folder.join("initrd.cpio"),
    zstdDecompressSync(peContent(uki, readPe(uki), ".initrd") ?? Buffer.alloc(0)),
  );
  return run("sh", ["-c", 'cpio --list --quiet <"$0"', folder.join("initrd.cpio")])
    .trim()
    .split("\n");
}

test("Format=uki and Format=esp are the whole tree in one unified kernel image", async (context) => {
  needRoot(context);
  needPrograms(context, "mdir", "depmod", "cpio");
  using folder = temporaryFolder();
  const changes = {
    bootable: "auto",
    initrds: [],
    repartDirectories: [],
    compressOutput: "zstd",
    // What boots is kept apart before.
    removeFiles: ["/usr/lib/systemd/boot", `/usr/lib/modules/${version}/vmlinuz`, "/boot/*"],
  } as const;
  const systemd = { source: folder.join("systemd"), target: "/usr/lib/systemd/systemd" };
  writeFileSync(systemd.source, "the init");
  const config = bootable(folder, changes);
  const extraTrees = [...config.extraTrees, systemd];
  const made = await build({ ...config, extraTrees, format: "uki", splitArtifacts: ["kernel", "initrd"] });
  expect(made.artifacts.map(({ kind, path }) => [kind, path])).toEqual([
    ["uki", "thing.efi"],
    ["kernel", "thing.vmlinuz"],
    ["initrd", "thing.initrd"],
    ["checksums", "thing.SHA256SUMS"],
  ]);
  const uki = readFileSync(folder.join("out/thing.efi"));
  const section = (wanted: string): string => text(peContent(uki, readPe(uki), wanted));
  expect(section(".linux")).toBe(text(testKernel));
  expect(section(".cmdline")).toBe("console=ttyS0 quiet\0");
  expect(section(".uname")).toBe(version);
  const names = initrdNames(uki, folder);
  expect(names).toEqual(
    expect.arrayContaining(["init", "etc/hostname", "usr/lib/os-release", "usr/lib/systemd/systemd"]),
  );
  expect(names.filter((name) => /vmlinuz|initrd-release|\.stub$/.test(name))).toEqual([]);
  expect(
    readFileSync(folder.join("out/thing.initrd")).equals(peContent(uki, readPe(uki), ".initrd") ?? Buffer.alloc(0)),
  ).toBe(true);

  const second = await build({ ...config, extraTrees, format: "esp" }, { force: true });
  const [disk] = second.artifacts;
  const image = folder.join("out", disk?.path ?? "");
  expect(image).toMatch(/thing\.raw$/);
  expect(disk?.partitions?.map(({ type, size }) => [type, size])).toEqual([["esp", 36 * 1024 ** 2]]);
  const offset = disk?.partitions?.[0]?.offset ?? 0;
  expect(espFiles(image, offset)).toEqual(["EFI/BOOT/BOOTX64.EFI"]);
  expect(readEsp(image, offset, "/EFI/BOOT/BOOTX64.EFI").equals(uki)).toBe(true);

  await expect(
    build(
      { ...bootable(folder, changes, [`boot/vmlinuz-${version}`]), extraTrees: [], format: "uki" },
      { force: true },
    ),
  ).rejects.toMatchObject({ code: "kernel-missing" });
});

test("a kernel without its modules, and modules without their kernel, are told with what is expected where", async (context) => {
  needRoot(context);
  needPrograms(context, "depmod");
  using folder = temporaryFolder();
  const order = `usr/lib/modules/${version}/modules.order`;
  const builtin = `usr/lib/modules/${version}/modules.builtin`;
  const kernel = `boot/vmlinuz-${version}`;
  const failure = async (without: readonly string[], changes: Partial<ImageConfig> = {}): Promise<unknown> => {
    rmSync(folder.join("tree"), { recursive: true, force: true });
    return await build(bootable(folder, changes, without), { force: true }).catch((error: unknown) => error);
  };
  expect(await failure([order, builtin])).toMatchObject({
    code: "kernel-missing",
    message: `Bootable=yes: the image has the kernel /${kernel} without its modules: expected the folder /usr/lib/modules/${version}`,
  });
  expect(await failure([kernel])).toMatchObject({
    code: "kernel-missing",
    message: `Bootable=yes: the image has the modules /usr/lib/modules/${version} without their kernel: expected /usr/lib/modules/${version}/vmlinuz or /${kernel}`,
  });
  const said: string[] = [];
  const progress = {
    ...silentProgress,
    log: (level: string, message: string) => void said.push(`${level}: ${message}`),
  };
  rmSync(folder.join("tree"), { recursive: true });
  const auto = bootable(folder, { bootable: "auto" }, [kernel]);
  // The definitions copy it.
  mkdirSync(folder.join("tree/boot"));
  mkdirSync(folder.join("tree/efi"));
  await build(auto, { force: true, progress });
  expect(said.filter((line) => line.startsWith("warning: not made bootable"))).toHaveLength(1);
  // A folder that bears another name than the kernel in it.
  bootable(folder, {}, [kernel, order, builtin]);
  rmSync(folder.join("tree/usr/lib/modules"), { recursive: true });
  mkdirSync(folder.join("tree/usr/lib/modules/6.1.0"), { recursive: true });
  const other = Buffer.concat([testKernel, Buffer.from("Linux version 6.2.0-other (a@b)")]);
  writeFileSync(folder.join("tree/usr/lib/modules/6.1.0/vmlinuz"), other);
  const extraTrees = [{ source: folder.join("tree"), target: "/" }];
  await expect(
    build(testConfig(folder.path, { format: "directory", extraTrees }), { force: true }),
  ).rejects.toMatchObject({
    code: "modules-missing",
    message:
      "the kernel /usr/lib/modules/6.1.0/vmlinuz is 6.2.0-other, and the image has no /usr/lib/modules/6.2.0-other",
  });
});

test("systemd's earliest time is the image's, but for one that would set right clocks back", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  const source = folder.join("systemd");
  writeFileSync(source, "the init");
  for (const [built, isThere] of [
    [1_600_000_000, true],
    [1_700_000_000, false],
  ] as const) {
    utimesSync(source, built, built);
    const extraTrees = [{ source, target: "/usr/lib/systemd/systemd" }];
    const config = testConfig(folder.path, { format: "directory", extraTrees, sourceDateEpoch: 1_650_000_000 });
    await build(config, { force: true });
    const epoch = folder.join("out/thing/usr/lib/clock-epoch");
    const time = statSync(epoch, { throwIfNoEntry: false })?.mtimeMs;
    expect([built, time]).toEqual([built, isThere ? 1_650_000_000_000 : undefined]);
  }
});

test("the example with two slots has a free one, and what an update of it consists of", async (context) => {
  needRoot(context);
  needPrograms(context, "mdir", "depmod", "sgdisk");
  using folder = temporaryFolder();
  const example = new URL("../../../examples/ab/", import.meta.url).pathname;
  const config = bootable(folder, {
    verity: "no",
    imageId: "device",
    imageVersion: "7",
    output: "device_7",
    unifiedKernelImageFormat: "device_7+&c",
    splitArtifacts: ["uki", "partitions"],
    repartDirectories: [folder.join("slots")],
  });
  mkdirSync(folder.join("slots"));
  for (const name of readdirSync(join(example, "mkosi.repart"))) {
    const text = readFileSync(join(example, "mkosi.repart", name), "utf8");
    // As small as the tree of this test.
    writeFileSync(folder.join("slots", name), text.replaceAll("512M", "8M").replaceAll("256M", "40M"));
  }
  const extraTrees = [...config.extraTrees, { source: join(example, "mkosi.extra"), target: "/" }];
  const { artifacts } = await build({ ...config, extraTrees });
  const disk = artifacts.find(({ kind }) => kind === "disk");
  expect(disk?.partitions?.map(({ type, label }) => [type, label])).toEqual([
    ["esp", "esp"],
    ["root-x86-64", "device_7"],
    ["root-x86-64-verity", "device_7_verity"],
    ["root-x86-64", "_empty"],
    ["root-x86-64-verity", "_empty"],
  ]);
  // The root hash names its partitions: the first half the root, the second the hash tree.
  const hash = disk?.rootHash ?? "";
  const [, root, tree] = disk?.partitions?.map(({ uuid }) => uuid) ?? [];
  expect(`${root ?? ""}${tree ?? ""}`.replaceAll("-", "")).toBe(hash);
  expect(artifacts.map(({ path }) => path)).toEqual(
    expect.arrayContaining([
      "device_7.efi",
      `device_7.root.${root ?? ""}.raw`,
      `device_7.root-verity.${tree ?? ""}.raw`,
    ]),
  );
  const image = folder.join("out/device_7.raw");
  expect(run("sgdisk", ["--verify", image])).toContain("No problems found");
  expect(espFiles(image, disk?.partitions?.[0]?.offset ?? 0)).toContain("EFI/Linux/device_7+3.efi");
  // Each transfer of the example finds its file.
  const patterns = readdirSync(join(example, "mkosi.extra/usr/lib/sysupdate.d")).map((name) => {
    const text = readFileSync(join(example, "mkosi.extra/usr/lib/sysupdate.d", name), "utf8");
    return /\[Source\][^[]*MatchPattern=(.*)/.exec(text)?.[1] ?? "";
  });
  expect(patterns).toHaveLength(3);
  for (const pattern of patterns) {
    const expression = new RegExp(
      `^${pattern
        .replaceAll(".", String.raw`\.`)
        .replace("@v", "7")
        .replace("@u", "[0-9a-f-]{36}")}$`,
    );
    expect(
      artifacts.filter(({ path }) => expression.test(path)),
      pattern,
    ).toHaveLength(1);
  }
});

test("the initrd with a kernel's modules is made once, for boot entries and split artifacts", async (context) => {
  needRoot(context);
  needPrograms(context, "depmod");
  using folder = temporaryFolder();
  const labels: string[] = [];
  const progress = {
    start({ label }: { readonly label: string }) {
      labels.push(label);
      return { advance() {}, setTotal() {}, detail() {}, done() {}, [Symbol.dispose]() {} };
    },
    log() {},
  };
  await build(bootable(folder, { splitArtifacts: ["initrd", "kernel-modules-initrd"] }), { progress });
  expect(labels.filter((label) => label === "compress with zstd")).toHaveLength(1);
  const modules = readFileSync(folder.join("out/thing.kernel-modules.initrd"));
  const initrd = readFileSync(folder.join("out/thing.initrd"));
  expect(initrd.subarray(-modules.length).equals(modules)).toBe(true);
});

test("with Incremental=yes the initrd with a kernel's modules is made anew when one of them has changed, and only then", async (context) => {
  needRoot(context);
  needPrograms(context, "depmod");
  using folder = temporaryFolder();
  const said: string[] = [];
  const progress = { ...silentProgress, log: (_: string, message: string) => void said.push(message) };
  // Boot entries of type 1: the files' names are in them.
  const config = bootable(folder, { incremental: "yes", unifiedKernelImages: "disabled", splitArtifacts: ["initrd"] });
  const make = async (changes: Partial<ImageConfig> = {}): Promise<{ digests: unknown; isKept: boolean }> => {
    said.length = 0;
    const { artifacts } = await build({ ...config, ...changes }, { force: true, progress });
    return {
      digests: artifacts.map(({ path, sha256 }) => [path, sha256]),
      isKept: said.some((line) => line.includes(`modules of ${version} is the former build's`)),
    };
  };
  expect((await make()).isKept).toBe(false);
  for (const [file, content, isKept] of [
    ["etc/hostname", "other", true],
    [`usr/lib/modules/${version}/modules.builtin`, "kernel/one.ko\n", false],
  ] as const) {
    writeFileSync(folder.join("tree", file), content);
    const sourceDateEpoch = config.sourceDateEpoch + content.length;
    const again = await make({ sourceDateEpoch });
    expect([file, again.isKept]).toEqual([file, isKept]);
    // The bytes of a build that keeps nothing.
    expect((await make({ sourceDateEpoch, incremental: "no" })).digests).toEqual(again.digests);
  }
  const names = readdirSync(folder.join("mkosi.cache/incremental"), { recursive: true, encoding: "utf8" });
  expect(names.filter((name) => name.includes("/modules-"))).toHaveLength(1);
});

test("two kernels do not share a name", async (context) => {
  needRoot(context);
  needPrograms(context, "depmod");
  using folder = temporaryFolder();
  const config = bootable(folder, { unifiedKernelImageFormat: "one" });
  for (const name of ["usr/lib/modules/6.2.0-test/modules.builtin", "usr/lib/modules/6.2.0-test/modules.order"]) {
    mkdirSync(dirname(folder.join("tree", name)), { recursive: true });
    writeFileSync(folder.join("tree", name), "");
  }
  writeFileSync(folder.join("tree/boot/vmlinuz-6.2.0-test"), testKernel);
  await expect(build(config)).rejects.toMatchObject({ code: "uki-name-invalid" });
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
  // systemd-boot enrolls what it finds here in firmware that has no keys yet.
  const keys = espFiles(image, offset).filter((path) => path.startsWith("loader/keys/"));
  expect(keys).toEqual(["KEK", "PK", "db"].map((name) => `loader/keys/auto/${name}.auth`));
  const programs = espFiles(image, offset).filter((path) => /\.efi$/i.test(path));
  expect(programs).toHaveLength(3);
  for (const path of programs) {
    run("mcopy", ["-n", "-i", `${image}@@${offset}`, `::/${path}`, folder.join("program.efi")]);
    expect(tryRun("sbverify", ["--cert", certificate, folder.join("program.efi")]).stdout.toString(), path).toBe(
      "Signature verification OK\n",
    );
  }
  // The TPM's policies are signed where there is a key for them.
  const uki = programs.find((path) => path.startsWith("EFI/Linux/")) ?? "";
  const sections = (name: string): string => {
    const bytes = readEsp(image, offset, `/${uki}`);
    return text(peContent(bytes, readPe(bytes), name));
  };
  expect(sections(".pcrsig")).toBe("");
  await build({ ...config, signExpectedPcr: { key, certificate } }, { force: true });
  expect(sections(".pcrpkey")).toMatch(/^-----BEGIN PUBLIC KEY-----/);
  expect(JSON.parse(sections(".pcrsig"))).toMatchObject({ sha256: Array.from({ length: 4 }, () => ({ pcrs: [11] })) });
  writeFileSync(key, otherTestKey);
  await expect(build(config, { force: true })).rejects.toMatchObject({ code: "key-mismatch" });
});

test("a unified kernel image has its profiles, and signatures of what the TPM will measure", async (context) => {
  needRoot(context);
  needPrograms(context, "mcopy", "depmod");
  using folder = temporaryFolder();
  writeFileSync(folder.join("key.pem"), testKey);
  writeFileSync(folder.join("crt.pem"), testCertificate);
  const profile = { properties: { ID: "reset", TITLE: "Factory reset" }, commandLine: ["systemd.unit=reset"] };
  const config = bootable(folder, {
    signExpectedPcr: { key: folder.join("key.pem"), certificate: folder.join("crt.pem") },
    unifiedKernelImageProfiles: [
      { ...profile, signExpectedPcr: true },
      { ...profile, properties: { ID: "other" }, signExpectedPcr: false },
    ],
  });
  const record = await build(config);
  const image = folder.join("out", record.artifacts[0]?.path ?? "");
  const uki = readEsp(image, record.artifacts[0]?.partitions?.[0]?.offset ?? 0, `/EFI/Linux/thing-${version}.efi`);
  const sections = readPe(uki).sections.map(({ name, rawOffset, virtualSize }) => ({
    name,
    content: text(uki.subarray(rawOffset, rawOffset + virtualSize)),
  }));
  const own = sections.slice(sections.findIndex(({ name }) => name === ".profile"));
  expect(own.map(({ name }) => name).join(" ")).toBe(".profile .pcrsig .profile .cmdline .pcrsig .profile .cmdline");
  expect(own[2]?.content).toBe('ID=reset\nTITLE="Factory reset"\n');
  expect(own[3]?.content).toBe("console=ttyS0 quiet systemd.unit=reset\0");
  const policies = [own[1], own[4]].map((signature) => /"pol": "([0-9a-f]{64})"/.exec(signature?.content ?? "")?.[1]);
  expect(new Set(policies).size).toBe(2);
  expect(sections.find(({ name }) => name === ".pcrpkey")?.content).toMatch(/^-----BEGIN PUBLIC KEY-----/);

  const old = makeStub({ sections: stubSections.filter(({ name }) => name !== ".sdmagic") });
  writeFileSync(folder.join("tree", `${efi}/linuxx64.efi.stub`), old);
  await expect(build(config, { force: true })).rejects.toMatchObject({ code: "stub-too-old" });
  writeFileSync(folder.join("key.pem"), otherTestKey);
  await expect(build(config, { force: true })).rejects.toMatchObject({ code: "key-mismatch" });
});

test("ShimBootloader= puts shim first, and what it starts and enrolls keys with beside it", async (context) => {
  needRoot(context);
  needPrograms(context, "mcopy", "depmod", "sbverify");
  using folder = temporaryFolder();
  writeFileSync(folder.join("key.pem"), testKey);
  writeFileSync(folder.join("crt.pem"), testCertificate);
  const keys = { secureBootKey: folder.join("key.pem"), secureBootCertificate: folder.join("crt.pem") };
  const config = bootable(folder, { secureBoot: true, ...keys, shimBootloader: "signed" });
  await expect(build(config)).rejects.toMatchObject({
    code: "boot-loader-missing",
    hint: "add shim-signed to Packages=",
  });
  const shims = { "shimx64.efi": "shim", "mmx64.efi": "manager" };
  for (const [name, word] of Object.entries(shims)) {
    mkdirSync(folder.join("tree/usr/lib/shim"), { recursive: true });
    const program = makeStub({ sections: [{ name: ".text", virtualAddress: 0x1000, content: Buffer.from(word) }] });
    writeFileSync(folder.join("tree/usr/lib/shim", name), program);
    writeFileSync(folder.join("tree/usr/lib/shim", `${name}.signed`), `${word} of the distribution`);
  }
  const boot = "EFI/BOOT";
  const signed = await build(config);
  const image = folder.join("out", signed.artifacts[0]?.path ?? "");
  const offset = signed.artifacts[0]?.partitions?.[0]?.offset ?? 0;
  expect(espFiles(image, offset).filter((path) => path.startsWith(boot))).toEqual(
    ["BOOTX64.EFI", "grubx64.efi", "mmx64.efi"].map((name) => `${boot}/${name}`),
  );
  // A signature that firmware trusts stays as it is.
  expect(readEsp(image, offset, `/${boot}/BOOTX64.EFI`).toString()).toBe("shim of the distribution");
  expect(readEsp(image, offset, `/${boot}/mmx64.efi`).toString()).toBe("manager of the distribution");
  const verify = (path: string): string => {
    run("mcopy", ["-n", "-i", `${image}@@${offset}`, `::/${path}`, folder.join("program.efi")]);
    return tryRun("sbverify", ["--cert", folder.join("crt.pem"), folder.join("program.efi")]).stdout.toString();
  };
  expect(verify(`${boot}/grubx64.efi`)).toBe("Signature verification OK\n");

  await build({ ...config, shimBootloader: "unsigned", bootloader: "uki" }, { force: true });
  expect(espFiles(image, offset).filter((path) => path.startsWith("EFI"))).toEqual(
    ["BOOTX64.EFI", "grubx64.efi", "mmx64.efi"].map((name) => `${boot}/${name}`),
  );
  for (const name of ["BOOTX64.EFI", "grubx64.efi", "mmx64.efi"])
    expect(verify(`${boot}/${name}`), name).toBe("Signature verification OK\n");
  expect(text(readEsp(image, offset, `/${boot}/grubx64.efi`))).toContain("the initrd");
});

test("BiosBootloader=grub: boot sector, core image and an entry on the ESP, the same bytes every time", async (context) => {
  needRoot(context);
  needPrograms(context, "mdir", "depmod", "grub-mkimage", "sgdisk");
  const modules = "/usr/lib/grub/i386-pc";
  if (!existsSync(`${modules}/boot.img`)) context.skip(`needs ${modules}/boot.img`);
  using folder = temporaryFolder();
  const config = bootable(folder, { bootloader: "none", biosBootloader: "grub" });
  await expect(build({ ...config, sectorSize: 4096 })).rejects.toMatchObject({ code: "not-bootable" });
  await expect(build(config)).rejects.toMatchObject({
    code: "definition-invalid",
    hint: expect.stringContaining("Type=21686148-6449-6e6f-744e-656564454649") as unknown,
  });
  const bios = "[Partition]\nType=21686148-6449-6e6f-744e-656564454649\nSizeMinBytes=1M\nSizeMaxBytes=1M\n";
  writeFileSync(folder.join("repart/05-bios.conf"), bios);
  writeFileSync(folder.join("repart/06-boot.conf"), "[Partition]\nType=xbootldr\nFormat=vfat\nCopyFiles=/boot:/\n");
  await expect(build(config)).rejects.toMatchObject({
    code: "definition-invalid",
    message: expect.stringContaining("xbootldr") as unknown,
  });
  rmSync(folder.join("repart/06-boot.conf"));
  await expect(build(config)).rejects.toMatchObject({
    code: "boot-loader-missing",
    message: "Bootable=yes: the image has no GRUB for BIOS",
  });
  // The image has modules and no program: this machine's makes the core image.
  cpSync(modules, folder.join("tree/usr/lib/grub/i386-pc"), { recursive: true });
  mkdirSync(folder.join("tree/efi/grub"), { recursive: true });
  writeFileSync(folder.join("tree/efi/grub/grub.cfg"), "set timeout=3\n");
  const record = await build(config);
  const image = folder.join("out", record.artifacts[0]?.path ?? "");
  const partitions = record.artifacts[0]?.partitions ?? [];
  expect(partitions.map(({ type }) => type)).toEqual(["esp", "bios-boot", "root-x86-64"]);
  const [esp, core, root] = partitions;
  const files = espFiles(image, esp?.offset ?? 0);
  const place = `thing/${version}`;
  expect(files.filter((path) => !path.startsWith("vmlinuz") && !path.endsWith(".pf2"))).toEqual([
    "grub/grub.cfg",
    `loader/entries/thing-${version}.conf`,
    ...[`0-microcode.cpio`, `1-initrd`, `2-modules-${version}.cpio.zst`, "vmlinuz"].map((name) => `${place}/${name}`),
  ]);
  expect(readEsp(image, esp?.offset ?? 0, "/grub/grub.cfg").toString()).toBe(`set timeout=3
if [ "\${grub_platform}" == "pc" ]; then
menuentry thing-${version} {
    linux /${place}/vmlinuz root=PARTUUID=${root?.uuid ?? ""} console=ttyS0 quiet
    initrd /${place}/0-microcode.cpio /${place}/1-initrd /${place}/2-modules-${version}.cpio.zst
}
fi
`);
  const first = readFileSync(image);
  expect(first.readBigUInt64LE(0x5c)).toBe(BigInt((core?.offset ?? 0) / 512));
  expect(first.readBigUInt64LE((core?.offset ?? 0) + 500)).toBe(BigInt((core?.offset ?? 0) / 512 + 1));
  expect(run("sgdisk", ["--verify", image])).toContain("No problems found");
  await build(config, { force: true });
  expect(readFileSync(image).equals(first)).toBe(true);
});

test("Bootloader=grub: a signed program that starts unified kernel images, or kernels where there are none", async (context) => {
  needRoot(context);
  needPrograms(context, "mcopy", "depmod", "grub-mkimage", "sbverify");
  const modules = "/usr/lib/grub/x86_64-efi";
  if (!existsSync(modules)) context.skip(`needs ${modules}`);
  using folder = temporaryFolder();
  writeFileSync(folder.join("key.pem"), testKey);
  writeFileSync(folder.join("crt.pem"), testCertificate);
  const keys = { secureBootKey: folder.join("key.pem"), secureBootCertificate: folder.join("crt.pem") };
  const config = bootable(folder, { secureBoot: true, ...keys, bootloader: "grub", kernelCommandLine: ["quiet"] });
  await expect(build(config)).rejects.toMatchObject({
    code: "boot-loader-missing",
    message: "Bootable=yes: the image has no GRUB for UEFI",
  });
  cpSync(modules, folder.join("tree", modules), { recursive: true });
  const record = await build(config);
  const image = folder.join("out", record.artifacts[0]?.path ?? "");
  const [esp, root] = record.artifacts[0]?.partitions ?? [];
  const offset = esp?.offset ?? 0;
  expect(espFiles(image, offset).filter((path) => !path.startsWith("vmlinuz") && !path.endsWith(".pf2"))).toEqual([
    "EFI/BOOT/BOOTX64.EFI",
    `EFI/Linux/thing-${version}.efi`,
    "grub/grub.cfg",
  ]);
  expect(readEsp(image, offset, "/grub/grub.cfg").toString()).toBe(`set timeout=0
if [ "\${grub_platform}" == "efi" ]; then
menuentry thing-${version} {
    chainloader /EFI/Linux/thing-${version}.efi
}
fi
`);
  run("mcopy", ["-n", "-i", `${image}@@${offset}`, "::/EFI/BOOT/BOOTX64.EFI", folder.join("program.efi")]);
  expect(run("sbverify", ["--cert", folder.join("crt.pem"), folder.join("program.efi")])).toContain("OK");

  await build({ ...config, unifiedKernelImages: "disabled" }, { force: true });
  const listing = readEsp(image, offset, "/grub/grub.cfg").toString();
  expect(listing).toContain('if [ "${grub_platform}" == "efi" ]; then\n');
  expect(listing).toContain(`    linux /thing/${version}/vmlinuz root=PARTUUID=${root?.uuid ?? ""} quiet\n`);
});

test("what the distribution has signed is taken as it is: systemd-boot, GRUB and unified kernel images", async (context) => {
  needRoot(context);
  needPrograms(context, "mcopy", "depmod");
  using folder = temporaryFolder();
  writeFileSync(folder.join("key.pem"), testKey);
  writeFileSync(folder.join("crt.pem"), testCertificate);
  const keys = { secureBootKey: folder.join("key.pem"), secureBootCertificate: folder.join("crt.pem") };
  const config = bootable(folder, { signedBootloader: true, kernelCommandLine: [] });
  const put = (name: string, content: string | Uint8Array): void => {
    mkdirSync(dirname(folder.join("tree", name)), { recursive: true });
    writeFileSync(folder.join("tree", name), content);
  };
  const attempt = async (
    changes: Partial<ImageConfig>,
  ): Promise<{ files: readonly string[]; read: (path: string) => Buffer }> => {
    const record = await build({ ...config, ...changes }, { force: true });
    const image = folder.join("out", record.artifacts[0]?.path ?? "");
    const offset = record.artifacts[0]?.partitions?.[0]?.offset ?? 0;
    return { files: espFiles(image, offset), read: (path) => readEsp(image, offset, path) };
  };
  await expect(attempt({})).rejects.toMatchObject({
    code: "boot-loader-missing",
    message: expect.stringContaining("systemd-bootx64.efi.signed") as unknown,
  });
  put(`${efi}/systemd-bootx64.efi.signed`, "systemd-boot of the distribution");
  for (const changes of [{}, { secureBoot: true, ...keys }]) {
    const { files, read } = await attempt(changes);
    for (const path of ["/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi"])
      expect(read(path).toString()).toBe("systemd-boot of the distribution");
    // With a key of its own the project signs an image, else the distribution's kernel is what starts.
    const isOwn = "secureBoot" in changes;
    expect(files.includes(`EFI/Linux/thing-${version}.efi`)).toBe(isOwn);
    expect(files.includes(`loader/entries/thing-${version}.conf`)).toBe(!isOwn);
  }
  const { read: kernel } = await attempt({ secureBoot: true, ...keys, unifiedKernelImages: "disabled" });
  expect(kernel(`/thing/${version}/vmlinuz`).equals(Buffer.from(testKernel))).toBe(true);

  await expect(attempt({ bootloader: "grub" })).rejects.toMatchObject({
    code: "boot-loader-missing",
    message: "Bootable=yes: the image has no signed GRUB for UEFI",
  });
  put("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "GRUB of the distribution");
  const grub = await attempt({ bootloader: "grub" });
  expect(grub.read("/EFI/BOOT/BOOTX64.EFI").toString()).toBe("GRUB of the distribution");
  expect(grub.read("/EFI/custom/grub.cfg").toString()).toBe("configfile /grub/grub.cfg\n");
  expect(grub.read("/grub/grub.cfg").toString()).toContain(`linux /thing/${version}/vmlinuz`);

  for (const changes of [{ bootloader: "uki" }, { unifiedKernelImages: "signed" }] as const)
    await expect(attempt(changes)).rejects.toMatchObject({ code: "uki-missing" });
  const prebuilt = makeStub({
    sections: [...stubSections, { name: ".osrel", virtualAddress: 0x5000, content: Buffer.from("ID=distribution\n") }],
  });
  put(`usr/lib/modules/${version}/vmlinuz-virt.efi`, prebuilt);
  // It has an initrd of its own.
  const whole = await attempt({ bootloader: "uki", initrds: [], secureBoot: true, ...keys });
  expect(whole.files.filter((path) => path.startsWith("EFI"))).toEqual(["EFI/BOOT/BOOTX64.EFI"]);
  expect(whole.read("/EFI/BOOT/BOOTX64.EFI").equals(prebuilt)).toBe(true);
  const beside = await attempt({ unifiedKernelImages: "signed", initrds: [] });
  expect(beside.read(`/EFI/Linux/thing-${version}.efi`).equals(prebuilt)).toBe(true);
  expect(beside.files.filter((path) => path.startsWith("loader/entries/"))).toEqual([]);
});

test("FirmwareFiles= keeps what it names, with the files that links lead to, and microcode", async (context) => {
  needRoot(context);
  needPrograms(context, "depmod");
  using folder = temporaryFolder();
  const config = bootable(folder, {
    format: "directory",
    bootable: "disabled",
    firmwareFiles: ["radio/*", "-unused.bin"],
  });
  const firmware = folder.join("tree/usr/lib/firmware");
  for (const name of ["radio/own.bin", "radio/unused.bin", "files/real.bin", "other.bin"]) {
    mkdirSync(dirname(`${firmware}/${name}`), { recursive: true });
    writeFileSync(`${firmware}/${name}`, name);
  }
  symlinkSync("../second.bin", `${firmware}/radio/first.bin`);
  symlinkSync("files/real.bin", `${firmware}/second.bin`);
  await build(config);
  const kept = run("find", [folder.join("out/thing/usr/lib/firmware"), "-not", "-type", "d", "-printf", "%P\n"]);
  expect(kept.trim().split("\n").sort()).toEqual([
    "amd-ucode/README",
    "amd-ucode/microcode_amd.bin",
    "files/real.bin",
    "radio/first.bin",
    "radio/own.bin",
    "second.bin",
  ]);
});

test("what an image lacks to boot is said before it is packed, with the package that has it", async (context) => {
  needRoot(context);
  needPrograms(context, "depmod", "mtype");
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
  // Debian 13 installs the signed one alone. It starts without Secure Boot as well, and where that is on needs its own keys.
  writeFileSync(third.join("tree", `${efi}/systemd-bootx64.efi.signed`), "systemd-boot of the distribution");
  writeFileSync(third.join("key.pem"), testKey);
  writeFileSync(third.join("crt.pem"), testCertificate);
  const keys = { secureBootKey: third.join("key.pem"), secureBootCertificate: third.join("crt.pem") };
  await expect(build({ ...loader, secureBoot: true, ...keys })).rejects.toMatchObject({ code: "boot-loader-missing" });
  const record = await build(loader);
  const image = third.join("out", record.artifacts[0]?.path ?? "");
  const offset = record.artifacts[0]?.partitions?.[0]?.offset ?? 0;
  expect(readEsp(image, offset, "/EFI/BOOT/BOOTX64.EFI").toString()).toBe("systemd-boot of the distribution");
});

test("the tree as an archive beside a disk that boots: the same bytes every time", async (context) => {
  needRoot(context);
  needPrograms(context, "depmod");
  using folder = temporaryFolder();
  const config = bootable(folder, { splitArtifacts: ["tar", "repart-definitions"] });
  const archives = [];
  for (const path of ["first", "second"]) {
    const record = await build({ ...config, outputDirectory: folder.join(path) });
    const digest = record.artifacts.map(({ kind, sha256 }) => [kind, sha256]);
    const tar = record.artifacts.find(({ kind }) => kind === "tar")?.path ?? "";
    archives.push({
      digest,
      times: run("tar", ["--list", "--verbose", "--full-time", "--file", folder.join(path, tar)]),
    });
  }
  expect(archives[1]).toEqual(archives[0]);
  expect(archives[0]?.times).toMatch(/boot\/EFI\/Linux\/.*\.efi/);
});

test.for([
  ["a unified kernel image", {}, /\/boot\/EFI\/Linux\/\S*\.efi alone has at least \d+ bytes$/],
  ["an initrd", { unifiedKernelImages: "disabled" }, /\/boot\/\S*-initrd alone has at least 2097152 bytes$/],
] as const)("%s that is larger than the ESP: by how much, before a partition is made", async (row, context) => {
  const [, changes, largest] = row;
  needRoot(context);
  needPrograms(context, "depmod");
  using folder = temporaryFolder();
  const config = bootable(folder, changes);
  writeFileSync(folder.join("repart/00-esp.conf"), esp("1M"));
  writeFileSync(folder.join("initrd"), Buffer.alloc(2 * 1024 ** 2));
  const started: string[] = [];
  const progress: Progress = {
    ...silentProgress,
    start: (task) => {
      started.push(task.label);
      return silentProgress.start(task);
    },
  };
  const failed = build(config, { progress });
  await expect(failed).rejects.toMatchObject({ code: "esp-full" });
  await expect(failed).rejects.toThrow(/00-esp\.conf\): .* \(\d+ bytes\) more than/);
  await expect(failed).rejects.toThrow(largest);
  expect(started.filter((label) => label.startsWith("write root"))).toEqual([]);
  writeFileSync(folder.join("repart/00-esp.conf"), esp("8M"));
  await build(config, { progress });
  expect(started.filter((label) => label.startsWith("write root"))).toHaveLength(1);
});

test("Minimize= of an ESP and of what is behind it: as large as the boot chain needs, the root hash as it is", async (context) => {
  needRoot(context);
  needPrograms(context, "mdir", "depmod", "fsck.vfat", "veritysetup");
  using folder = temporaryFolder();
  const config = bootable(folder, { verity: "hash" });
  // FAT32 has 33 MiB at least: so much more that the size follows from it.
  writeFileSync(folder.join("initrd"), Buffer.alloc(40 * 1024 ** 2, "initrd"));
  const espOf = async (definition: string): Promise<{ size: number; bytes: Buffer }> => {
    writeFileSync(folder.join("repart/00-esp.conf"), definition);
    const { artifacts } = await build(config, { force: true });
    const { path = "", partitions = [], rootHash = "" } = artifacts[0] ?? {};
    const image = folder.join("out", path);
    const [boot, root, hash] = partitions;
    expect(partitions.map(({ offset }) => offset)).toEqual([
      1024 ** 2,
      1024 ** 2 + (boot?.size ?? 0),
      (root?.offset ?? 0) + (root?.size ?? 0),
    ]);
    const bytes = readFileSync(image);
    const cut = (name: string, { offset = 0, size = 0 } = {}): string => {
      writeFileSync(folder.join(name), bytes.subarray(offset, offset + size));
      return folder.join(name);
    };
    run("fsck.vfat", ["-n", cut("esp", boot)]);
    run("veritysetup", ["verify", cut("root", root), cut("hash", hash), rootHash]);
    expect(espFiles(image, boot?.offset ?? 0)).toContain("EFI/BOOT/BOOTX64.EFI");
    const unified = espFiles(image, boot?.offset ?? 0).find((file) => file.startsWith("EFI/Linux/")) ?? "";
    const pe = readEsp(image, boot?.offset ?? 0, `/${unified}`);
    expect(text(peContent(pe, readPe(pe), ".cmdline"))).toContain(`roothash=${rootHash}`);
    return { size: boot?.size ?? 0, bytes };
  };
  const least = esp("0").replace(/Size[^]*/, "Minimize=best\n");
  const best = await espOf(least);
  expect(best.size).toBeGreaterThan(40 * 1024 ** 2);
  expect(best.size).toBeLessThan(42 * 1024 ** 2);
  // Free space is measured in clusters: with one less it would not fit.
  expect((await espOf(esp(String(best.size)))).bytes.equals(best.bytes)).toBe(true);
  await expect(espOf(esp(String(best.size - 64 * 1024)))).rejects.toMatchObject({ code: "esp-full" });
  const guessed = await espOf(least.replace("best", "guess"));
  expect(guessed.size).toBeGreaterThan(best.size + 16 * 1024 ** 2);
  expect(guessed.size).toBeLessThan(best.size * 1.3 + 17 * 1024 ** 2);
});
