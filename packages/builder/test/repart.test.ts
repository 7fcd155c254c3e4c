import { mkdirSync, writeFileSync } from "node:fs";
import { ConfigError, type LogLevel, silentProgress } from "@imgtool/core";
import { needRoot, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { checkBuild } from "../src/check.ts";
import { checkPartitions } from "../src/check-partitions.ts";
import { partitionDefinitions } from "../src/repart-definitions.ts";
import { testConfig } from "./config.ts";

test("files sort by name; without any there is the default layout", async () => {
  using folder = temporaryFolder();
  for (const name of ["mkosi.repart", "more"]) mkdirSync(folder.join(name));
  writeFileSync(folder.join("mkosi.repart/20-b.conf"), "[Partition]\nType=usr\n");
  writeFileSync(folder.join("more/10-a.conf"), "[Partition]\nType=esp\n");
  writeFileSync(folder.join("more/notes.txt"), "");
  const repartDirectories = [folder.join("mkosi.repart"), folder.join("more")];
  const own = await partitionDefinitions(testConfig(folder.path, { repartDirectories }), silentProgress, {});
  expect(own.map(({ type }) => type)).toEqual(["esp", "usr"]);
  const boots = await partitionDefinitions(testConfig(folder.path), silentProgress, { esp: true });
  expect(boots.map(({ type, format, sizeMin }) => [type, format, sizeMin])).toEqual([
    ["esp", "vfat", 512 * 1024 ** 2],
    ["root", "ext4", undefined],
  ]);
  const none = await partitionDefinitions(testConfig(folder.path, { verity: "hash" }), silentProgress, {});
  expect(none.map(({ type }) => type)).toEqual(["root", "root-verity"]);
});

test("the first mkosi's settings are a shorthand for definitions", async () => {
  using folder = temporaryFolder();
  const sizes = { root: 1024 ** 3, esp: undefined, swap: 2 ** 26, home: 2 ** 27, srv: undefined };
  const config = testConfig(folder.path, { partitionSizes: sizes, readOnly: true, verity: "hash" });
  const definitions = await partitionDefinitions(config, silentProgress, {});
  expect(
    definitions.map(({ type, format, sizeMin, sizeMax, readOnly }) => [type, format, sizeMin, sizeMax, readOnly]),
  ).toEqual([
    ["swap", "swap", 2 ** 26, 2 ** 26, undefined],
    ["home", "ext4", 2 ** 27, 2 ** 27, undefined],
    ["root", "ext4", 1024 ** 3, 1024 ** 3, true],
    ["root-verity", undefined, 8_462_336, 8_462_336, undefined],
  ]);
});

test("specifiers are expanded, warnings and errors have file and line", async () => {
  using folder = temporaryFolder();
  const file = folder.join("10-root.conf");
  const config = testConfig(folder.path, { repartDirectories: [folder.path], imageId: "thing", imageVersion: "7" });
  const messages: string[] = [];
  const progress = { ...silentProgress, log: (_level: LogLevel, message: string) => void messages.push(message) };
  writeFileSync(file, "[Partition]\nType=root\nLabel=%M_%A\nFormatt=ext4\n");
  const [definition] = await partitionDefinitions(config, progress, {});
  expect(definition).toMatchObject({ type: "root", label: "thing_7" });
  expect(messages).toEqual([`${file}:4: unknown field Formatt=: did you mean Format=?`]);
  writeFileSync(file, "[Partition]\nType=root\nLabel=%o-%w%B%%\n");
  const [early] = await partitionDefinitions(config, progress, {});
  expect(early).toMatchObject({ label: "%o-%w%B%" });
  const [late] = await partitionDefinitions(
    config,
    progress,
    {},
    {
      osRelease: new Map([
        ["ID", "debian"],
        ["VERSION_ID", "13"],
      ]),
    },
  );
  expect(late).toMatchObject({ label: "debian-13%" });
  writeFileSync(file, "[Partition]\nType=root\nLabel=%z\n");
  await expect(partitionDefinitions(config, progress, {})).rejects.toMatchObject({
    code: "definition-invalid",
    message: expect.stringContaining(`${file}:3: Label=%z: unknown specifier %z`) as unknown,
  });
});

test("Compression= of btrfs and erofs is taken without a word, what is not written refused with what is", async () => {
  using folder = temporaryFolder();
  const file = folder.join("10-root.conf");
  const config = testConfig(folder.path, { repartDirectories: [folder.path] });
  const messages: string[] = [];
  const progress = { ...silentProgress, log: (_level: LogLevel, message: string) => void messages.push(message) };
  writeFileSync(file, "[Partition]\nType=root\nFormat=btrfs\nCompression=zstd\nCompressionLevel=9\n");
  expect(await partitionDefinitions(config, progress, {})).toMatchObject([{ compression: "zstd" }]);
  expect(messages).toEqual([]);
  writeFileSync(file, "[Partition]\nType=root\nFormat=erofs\nCompression=lz4hc\nCompressionLevel=12\n");
  expect(await partitionDefinitions(config, progress, {})).toMatchObject([{ compression: "lz4hc" }]);
  expect(messages).toEqual([]);
  writeFileSync(file, "[Partition]\nType=root\nFormat=erofs\nCompression=lzma\n");
  await expect(partitionDefinitions(config, progress, {})).rejects.toMatchObject({
    code: "compression-unsupported",
    message: `${file}: Compression=lzma: imgtool cannot write lzma in erofs`,
    hint: "use one of lz4, lz4hc, zstd, deflate, libdeflate",
  });
  writeFileSync(file, "[Partition]\nType=root\nFormat=btrfs\nCompression=lzo\n");
  await expect(partitionDefinitions(config, progress, {})).rejects.toMatchObject({ code: "compression-unsupported" });
});

test("two partitions that would become files of one name are refused, unless nothing is split off", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  const write = (name: string, more: string): void =>
    writeFileSync(folder.join(name), `[Partition]\nType=linux-generic\nSizeMaxBytes=1M\n${more}`);
  write("10.conf", "");
  write("20.conf", "");
  const config = testConfig(folder.path, { format: "disk", repartDirectories: [folder.path] });
  await expect(checkBuild(config, false)).resolves.toBeUndefined();
  const split = { ...config, splitArtifacts: ["partitions" as const] };
  await expect(checkBuild(split, false)).rejects.toMatchObject({
    code: "definition-invalid",
    message: expect.stringMatching(/20\.conf.*"linux-generic", which is that of .*10\.conf/) as unknown,
  });
  for (const name of ["SplitName=-\n", "Format=empty\n", "SplitName=other\n", "SplitName=%t-%n\n"]) {
    write("20.conf", name);
    await expect(checkBuild(split, false)).resolves.toBeUndefined();
  }
});

test("a definition that cannot be made ends the build before anything is done", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  writeFileSync(folder.join("10-root.conf"), "[Partition]\nType=root\nFormat=ext5\n");
  const config = testConfig(folder.path, { format: "disk", repartDirectories: [folder.path] });
  await expect(checkBuild(config, false)).rejects.toMatchObject({ code: "filesystem-unknown", exitCode: 2 });
});

test("all that is wrong with definitions is said before anything is built", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  const write = (name: string, ...lines: string[]): void =>
    writeFileSync(folder.join(name), `[Partition]\n${lines.join("\n")}\n`);
  const config = testConfig(folder.path, { format: "disk", repartDirectories: [folder.path] });
  write("10.conf", "Type=esp", "SizeMinBytes=x", "Minimize=perhaps");
  write("20.conf", "Type=root", "Verity=hush");
  await expect(checkBuild(config, false)).rejects.toMatchObject({
    code: "definition-invalid",
    exitCode: 2,
    message: expect.stringMatching(/10\.conf:3: .*\n.*10\.conf:4: .*\n.*20\.conf:3: /) as unknown,
  });
  write("10.conf", "Type=epp", "Colour=red");
  write("20.conf", "Type=root", "Format=erofs", "Verity=data", "VerityMatchKey=root");
  const warnings: string[] = [];
  const progress = { ...silentProgress, log: (_: LogLevel, message: string) => void warnings.push(message) };
  await expect(checkBuild(config, false, progress)).rejects.toMatchObject({
    code: "partition-type-unknown",
    message: expect.stringMatching(
      /partition 1 \(epp, .*unknown partition type.*\n.*one partition with Verity=hash/,
    ) as unknown,
  });
  expect(warnings).toEqual([`${folder.join("10.conf")}:3: unknown field Colour=`]);
  write("10.conf", "Type=root-verity", "Verity=hash", "VerityMatchKey=root", "SizeMaxBytes=8K");
  write("20.conf", "Type=root", "Format=erofs", "Verity=data", "VerityMatchKey=root", "SizeMinBytes=100M");
  await expect(checkBuild(config, false)).rejects.toThrow("needs 835584 bytes, 827392 more than SizeMaxBytes=8192");
});

test("definitions that a script writes are checked when it has", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  mkdirSync(folder.join("mkosi.repart"));
  writeFileSync(folder.join("mkosi.repart/10.conf"), "[Partition]\nType=root\nVerity=data\nVerityMatchKey=r\n");
  writeFileSync(folder.join("finalize"), "#!/bin/sh\necho >$SRCDIR/mkosi.repart/20.conf\n", { mode: 0o755 });
  const config = testConfig(folder.path, {
    format: "disk",
    repartDirectories: [folder.join("mkosi.repart")],
    finalizeScripts: [folder.join("finalize")],
  });
  await checkBuild(config, false);
  await expect(checkBuild({ ...config, finalizeScripts: [] }, false)).rejects.toMatchObject({
    code: "definition-invalid",
  });
});

test.each([
  ["enabled", "systemd-boot", "Type=root", "not-bootable"],
  ["enabled", "uki", "Type=xbootldr", "not-bootable"],
  ["enabled", "systemd-boot", "Type=esp\nFormat=vfat", undefined],
  ["enabled", "systemd-boot", "Type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b", undefined],
  ["enabled", "none", "Type=root", undefined],
  ["auto", "systemd-boot", "Type=root", undefined],
  ["disabled", "systemd-boot", "Type=root", undefined],
] as const)("Bootable=%s, Bootloader=%s, and a partition of %s: %s", async (bootable, bootloader, type, code) => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("10.conf"), `[Partition]\n${type}\n`);
  const config = testConfig(folder.path, { format: "disk", bootable, bootloader, repartDirectories: [folder.path] });
  const definitions = await partitionDefinitions(config, silentProgress, {});
  let found: unknown;
  try {
    checkPartitions(config, definitions);
  } catch (error) {
    if (error instanceof ConfigError) found = [error.code, error.hint?.includes("Type=esp")];
  }
  expect(found).toEqual(code === undefined ? undefined : [code, true]);
});
