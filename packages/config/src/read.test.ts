import { expect, test } from "vitest";
import { resolveProject, valueOf } from "../test/project.ts";
import { formatProblem } from "./index.ts";
import type { Problem } from "./index.ts";

const lines = (problems: readonly Problem[]): string[] => problems.map((problem) => formatProblem(problem, "/project"));

test("a project of the first mkosi", () => {
  const { config, warnings, errors } = resolveProject({
    "mkosi.default": [
      "[Distribution]",
      "Distribution=debian",
      "Release=bookworm",
      "[Output]",
      "Format=raw_squashfs",
      "Output=old",
      "XZ=yes",
      "Bootable=no",
      "ReadOnly=yes",
      "[Packages]",
      "Packages=vim less",
      "  openssh-server",
      "Cache=cache",
      "[Partitions]",
      "RootSize=3G",
      "SwapSize=256M",
      "[Validation]",
      "CheckSum=yes",
      "Password=secret",
    ].join("\n"),
    "mkosi.default.d/10": "[Packages]\nPackages=more\n",
    "cache/": "",
    "mkosi.extra/": "",
  });
  expect(errors).toEqual([]);
  expect(lines(warnings)).toEqual([]);
  expect(config).toMatchObject({
    release: "bookworm",
    format: "disk",
    rootFilesystem: "squashfs",
    partitionSizes: { root: 3 * 1024 ** 3, esp: undefined, swap: 256 * 1024 ** 2, home: undefined, srv: undefined },
    readOnly: true,
    output: "old",
    compressOutput: "xz",
    packages: ["vim", "less", "openssh-server", "more"],
    scriptsOfFirstMkosi: true,
    packageCacheDirectory: "/project/cache",
    checksum: true,
    rootPassword: "secret",
    extraTrees: [{ source: "/project/mkosi.extra", target: "/" }],
  });
});

test("mkosi.default.d does without mkosi.default, and has a folder for each distribution", () => {
  const project = {
    "mkosi.default.d/10.conf": "[Output]\nFormat=gpt_btrfs\n[Content]\nPackages=all\n",
    "mkosi.default.d/20": "[Distribution]\nDistribution=fedora\n",
    "mkosi.default.d/debian/10": "[Content]\nPackages=debian\n",
    "mkosi.default.d/fedora/10": "[Distribution]\nRelease=38\n[Content]\nPackages=fedora\n",
    "mkosi.default.d/fedora/mkosi.conf.d/unread.conf": "[Content]\nPackages=never\n",
  };
  const { config, errors, warnings } = resolveProject(project);
  expect([...errors, ...warnings]).toEqual([]);
  expect(config).toMatchObject({ rootFilesystem: "btrfs", release: "38", packages: ["all", "fedora"] });
});

test("Include=mkosi-obs is an error that says what to set instead", () => {
  const { errors } = resolveProject({ "mkosi.conf": "[Include]\nInclude=mkosi-obs" });
  expect(lines(errors)).toEqual([
    "mkosi.conf:2: Include=mkosi-obs: imgtool does not have this configuration of mkosi's",
  ]);
  expect(errors[0]?.hint).toMatch(/SecureBootKey=/);
  // Where it is not read it does not matter.
  const other = resolveProject({ "mkosi.conf.d/a.conf": "[Match]\nFormat=oci\n[Include]\nInclude=mkosi-obs" });
  expect(other.errors).toEqual([]);
});

test("what mkosi brings along is no file of the project", () => {
  const { config, errors } = resolveProject({
    "mkosi.conf": "[Distribution]\nDistribution=debian\n[Include]\nInclude=mkosi-vm\n",
  });
  expect(errors).toEqual([]);
  expect(config?.files).toEqual(["/project/mkosi.conf"]);
  expect(config?.packages).toContain("linux-image-generic");
  expect(config?.scriptsOfFirstMkosi).toBe(false);
  const other = resolveProject({ "mkosi.conf": "[Include]\nInclude=mkosi-addon\n" });
  expect(other.config?.format).toBe("addon");
});

test("a changelog is not written, which is said", () => {
  const { warnings, config } = resolveProject({ "mkosi.conf": "[Output]\nManifestFormat=json,changelog" });
  expect(lines(warnings)).toEqual(["mkosi.conf:2: ManifestFormat=changelog: imgtool does not write changelogs"]);
  expect(config?.manifestFormat).toEqual(["json"]);
});

test("configure scripts are also those of mkosi.configure.d, by name", () => {
  const { config } = resolveProject({ "mkosi.configure": "", "mkosi.configure.d/b": "", "mkosi.configure.d/a": "" });
  expect(config?.configureScripts).toEqual([
    "/project/mkosi.configure",
    "/project/mkosi.configure.d/a",
    "/project/mkosi.configure.d/b",
  ]);
});

test.each(["bz2", "lz4", "lzma"])("CompressOutput=%s is taken", (name) => {
  const { config, errors } = resolveProject({ "mkosi.conf": `[Output]\nCompressOutput=${name}` });
  expect([config?.compressOutput, errors]).toEqual([name, []]);
});

test.each([
  ["raw_ext4", "ext4"],
  ["raw_gpt", "ext4"],
  ["gpt_btrfs", "btrfs"],
  ["raw_xfs", "xfs"],
  ["gpt_xfs", "xfs"],
])("Format=%s is a disk of %s", (format, rootFilesystem) => {
  const { config } = resolveProject({ "mkosi.conf": `[Output]\nFormat=${format}` });
  expect(config).toMatchObject({ format: "disk", rootFilesystem });
});

test.for([
  [{ "mkosi.default": "[Output]\nFormat=raw_gpt\n" }, false],
  [{ "mkosi.default.d/10": "" }, false],
  [{ "mkosi/mkosi.default": "" }, false],
  [{ "mkosi.default": "[Packages]\nWithDocs=yes\n" }, true],
  [{ "mkosi.conf": "", "mkosi.default": "" }, true],
  [{ "mkosi.conf": "", "mkosi/mkosi.default": "" }, true],
] as const)("documentation is left out by default where the first mkosi left it out: %o", ([files, withDocs]) => {
  expect(resolveProject(files).config?.withDocs).toBe(withDocs);
});

test("mkosi.conf takes the place of mkosi.default", () => {
  const { config } = resolveProject({ "mkosi.conf": "[Output]\nOutput=new", "mkosi.default": "[Output]\nOutput=old" });
  expect(config).toMatchObject({ output: "new", files: ["/project/mkosi.conf"] });
});

test("a folder named mkosi is the project where there is no mkosi.conf above it", () => {
  const { config } = resolveProject({
    "mkosi/mkosi.conf": "[Content]\nExtraTrees=tree\nPackages=%D",
    "mkosi/tree/": "",
  });
  // %D stays the project's directory, as systemd's own project relies on.
  expect(config).toMatchObject({
    directory: "/project",
    packages: ["/project"],
    extraTrees: [{ source: "/project/mkosi/tree" }],
  });
});

test("files that include each other are read once, and a folder that includes itself ends", () => {
  const { config, errors } = resolveProject({
    "mkosi.conf": "[Include]\nInclude=.\nInclude=a.conf\n[Content]\nPackages=main",
    "a.conf": "[Include]\nInclude=b.conf\n[Content]\nPackages=a",
    "b.conf": "[Include]\nInclude=a.conf\n[Content]\nPackages=b",
  });
  expect(errors).toEqual([]);
  // The folder is once the project and once what it includes, as mkosi has it.
  expect(config?.packages).toEqual(["b", "a", "main", "main"]);
});

test("folders that are nested without end are an error, not a crash", () => {
  const deep = `${"mkosi.conf.d/x/".repeat(40)}mkosi.conf`;
  const { errors } = resolveProject({ "mkosi.conf": "", [deep]: "[Content]\nPackages=a" });
  expect(errors).toMatchObject([{ code: "config-nested", hint: expect.stringContaining("symbolic link") as string }]);
});

test("assertions", () => {
  const good = resolveProject({
    "mkosi.conf": "[Assert]\nDistribution=debian\n[TriggerAssert]\nRelease=sid\n[TriggerAssert]\nRelease=trixie\n",
  });
  expect(good.errors).toEqual([]);
  const bad = resolveProject({
    "mkosi.conf": "[Assert]\nDistribution=fedora\n[TriggerAssert]\nRelease=sid\n[TriggerAssert]\nRelease=forky\n",
  });
  expect(lines(bad.errors)).toEqual([
    "mkosi.conf:1: [Assert] does not hold: Distribution=fedora",
    "mkosi.conf:3: [TriggerAssert] does not hold: Release=sid",
  ]);
  const skipped = resolveProject({
    "mkosi.conf": "",
    "mkosi.conf.d/a.conf": "[Match]\nRelease=sid\n[Assert]\nDistribution=fedora\n",
  });
  expect(skipped.errors).toEqual([]);
});

test("conditions on the machine and the image", () => {
  const conditions = [
    "Architecture=uefi",
    "HostArchitecture=uefi",
    "HostArchitecture=arm64",
    "SystemdVersion=>=250",
    "SystemdVersion=<250",
    "Image=main",
    "Image=other",
  ];
  const files = Object.fromEntries(
    conditions.map((condition, index) => [
      `mkosi.conf.d/${index}.conf`,
      `[Match]\n${condition}\n[Content]\nPackages=${index}`,
    ]),
  );
  const resolution = resolveProject({ "mkosi.conf": "", ...files }, { host: { systemdVersion: "257.9-1" } });
  expect(valueOf(resolution, "Packages")).toEqual(["0", "1", "3", "5"]);
  const elsewhere = resolveProject({ "mkosi.conf": "", ...files }, { host: { architecture: "s390x" } });
  expect(valueOf(elsewhere, "Packages")).toEqual(["5"]);
});

test("settings nobody acts on yet: one warning, and none where they ask for nothing", () => {
  const { config, warnings } = resolveProject({
    "mkosi.conf":
      "[Content]\nMicrocodeHost=yes\nDevicetrees=\nBootloader=systemd-boot\nInitrdProfiles=lvm\nBiosBootloader=none\n[Runtime]\nRAM=4G\n",
  });
  expect(config).toBeDefined();
  expect(lines(warnings)).toEqual([
    "mkosi.conf:5: InitrdProfiles= is not supported yet and has no effect",
    "mkosi.conf:2: MicrocodeHost= is not supported yet and has no effect",
  ]);
});

test("the first mkosi's subvolume is a folder that must be one", () => {
  const { config, values } = resolveProject({ "mkosi.conf": "[Output]\nFormat=subvolume\n" });
  expect([config?.format, config?.useSubvolumes]).toEqual(["directory", "enabled"]);
  expect(values.find(({ name }) => name === "Format")?.value).toBe("directory");
});

test("imgtool.conf holds where an image is published, and its mistakes have a place", () => {
  const conf = { "mkosi.conf": "[Output]\nFormat=directory\n" };
  const {
    publish,
    files,
    config: built,
  } = resolveProject({
    ...conf,
    "imgtool.conf":
      "[Publish]\nDestination=www\nStore=store\nDurable=no\n[Build]\nCacheStore=https://cache.example/trees\n",
    "imgtool.local.conf": "[Publish]\nStore=\nCompression=xz\n",
  });
  expect(publish).toEqual({ destination: "/project/www", store: undefined, compression: "xz", durable: false });
  expect(built?.cacheStore).toBe("https://cache.example/trees");
  // Its time is not the image's.
  expect(files).toEqual(["/project/mkosi.conf"]);
  const { errors, config } = resolveProject({
    ...conf,
    "imgtool.conf": "[Publish]\nDestinatoin=www\nCompression=lz4\n[Pubish]\nDurable=no\n",
  });
  expect(config).toBeUndefined();
  expect(lines(errors)).toEqual([
    "imgtool.conf:2: unknown setting Destinatoin=",
    'imgtool.conf:3: Compression=: expected zstd, xz, gzip, found "lz4"',
    "imgtool.conf:4: unknown section [Pubish]",
  ]);
  expect(errors.map(({ hint }) => hint)).toEqual(["did you mean Destination=?", undefined, "did you mean [Publish]?"]);
});

test("what cannot be built yet is an error with its place", () => {
  const { config, errors } = resolveProject({
    "mkosi.conf": "[Build]\nBuildSourcesEphemeral=buildcache\n[Validation]\nVerity=signed\n",
  });
  expect(config).toBeUndefined();
  expect(lines(errors)).toEqual([
    "mkosi.conf:4: Verity=: signed needs VerityKey=",
    "mkosi.conf:2: BuildSourcesEphemeral=: buildcache is not supported yet",
  ]);
});

const verity = (value: string, files: Record<string, { text: string; mode: number }>): unknown =>
  resolveProject({ "mkosi.conf": `[Validation]\nVerity=${value}\n`, ...files }).config;

test.each([
  ["systemd-boot-signed", "systemd-boot", true],
  ["uki-signed", "uki", true],
  ["grub-signed", "grub", true],
  ["grub", "grub", false],
] as const)("Bootloader=%s", (value, bootloader, signedBootloader) => {
  const { config, errors } = resolveProject({
    "mkosi.conf": `[Content]\nBootloader=${value}\nUnifiedKernelImages=signed\n`,
  });
  expect(errors).toEqual([]);
  expect(config).toMatchObject({ bootloader, signedBootloader, unifiedKernelImages: "signed" });
});

test("keys of verity signatures: found in the project, and what Verity= makes of them", () => {
  const keys = { "mkosi.key": { text: "", mode: 0o600 }, "mkosi.crt": { text: "", mode: 0o644 } };
  const paths = { verityKey: "/project/mkosi.key", verityCertificate: "/project/mkosi.crt" };
  expect(verity("signed", keys)).toMatchObject({ verity: "signed", ...paths });
  expect(verity("yes", keys)).toMatchObject({ verity: "signed" });
  expect(verity("yes", {})).toMatchObject({ verity: "hash", verityKey: undefined });
  expect(verity("hash", keys)).toMatchObject({ verity: "hash" });
  expect(verity("auto", keys)).toMatchObject({ verity: "no", ...paths });
  const errors = (text: string): unknown => resolveProject({ "mkosi.conf": `[Validation]\n${text}`, ...keys }).errors;
  expect(verity("defer", keys)).toMatchObject({ verity: "defer" });
  expect(errors("VerityKeySource=engine:pkcs11")).toMatchObject([{ code: "key-source-unsupported" }]);
  const open = resolveProject({ "mkosi.conf": "", "mkosi.key": { text: "", mode: 0o644 } });
  expect(open.errors[0]).toMatchObject({ code: "secret-open", hint: "chmod o= /project/mkosi.key" });
});

const secureBootKeys = (...names: string[]): unknown => {
  const keys = names.flatMap((name) => [
    [`${name}.key`, { text: "", mode: 0o600 }],
    [`${name}.crt`, { text: "", mode: 0o644 }],
  ]);
  const { config, errors } = resolveProject({
    "mkosi.conf": "[Validation]\nSecureBoot=yes\n",
    ...(Object.fromEntries(keys) as Record<string, { text: string; mode: number }>),
  });
  expect(errors).toEqual([]);
  return [config?.secureBootKey, config?.secureBootCertificate, config?.verityKey];
};

test("keys for Secure Boot are found under their former names", () => {
  for (const name of ["mkosi.secure-boot", "mkosi.secureboot"])
    expect(secureBootKeys(name)).toEqual([`/project/${name}.key`, `/project/${name}.crt`, undefined]);
  const [key, certificate] = ["/project/mkosi.key", "/project/mkosi.crt"];
  expect(secureBootKeys("mkosi", "mkosi.secure-boot", "mkosi.secureboot")).toEqual([key, certificate, key]);
});

const expectedPcr = (value: string, files: object): ReturnType<typeof resolveProject> =>
  resolveProject({ "mkosi.conf": `[Validation]\nSignExpectedPcr=${value}\n`, ...files });

const ukiProfile = (text: string): string => `[UKIProfile]\n${text}`;

test("expected measurements are signed where there is a key, and where they must be", () => {
  const keys = { "mkosi.key": { text: "", mode: 0o600 }, "mkosi.crt": { text: "", mode: 0o644 } };
  expect(expectedPcr("auto", keys).config).toMatchObject({
    signExpectedPcr: { key: "/project/mkosi.key", certificate: "/project/mkosi.crt" },
  });
  expect(expectedPcr("auto", {}).config).toMatchObject({ signExpectedPcr: undefined });
  expect(expectedPcr("no", keys).config).toMatchObject({ signExpectedPcr: undefined });
  expect(lines(expectedPcr("yes", {}).errors)).toEqual([
    "mkosi.conf:2: SignExpectedPcr=: yes needs SignExpectedPcrKey=",
  ]);
  expect(expectedPcr("yes\nSignExpectedPcrKeySource=provider:tpm2", keys).errors).toMatchObject([
    { code: "key-source-unsupported" },
  ]);
});

test("profiles of unified kernel images: files of a folder, in the order of their names", () => {
  const { config, errors } = resolveProject({
    "mkosi.conf": "",
    "mkosi.uki-profiles/20-b.conf": ukiProfile("Profile=ID=b\nSignExpectedPcr=no\n[Other]\nX=y\n"),
    "mkosi.uki-profiles/10-a.conf": ukiProfile('Profile=ID=a\n  TITLE="The one"\nCmdline=x y\nCmdline=z\n'),
    "mkosi.uki-profiles/README": "no profile",
  });
  expect(errors).toEqual([]);
  expect(config?.unifiedKernelImageProfiles).toEqual([
    { properties: { ID: "a", TITLE: "The one" }, commandLine: ["x", "y", "z"], signExpectedPcr: true },
    { properties: { ID: "b" }, commandLine: [], signExpectedPcr: false },
  ]);
  // A change of a profile is one of the configuration.
  expect(config?.files).toContain("/project/mkosi.uki-profiles/10-a.conf");
  const wrong = resolveProject({
    "mkosi.conf": "",
    "mkosi.uki-profiles/1.conf": ukiProfile("Profile=TITLE=x\n"),
    "mkosi.uki-profiles/2.conf": ukiProfile("Profile=ID=main\nCmdLine=y\n"),
    "mkosi.uki-profiles/3.conf": ukiProfile("Profile='ID=a\nSignExpectedPcr=perhaps\n"),
  });
  expect(lines(wrong.errors).map((line) => line.replace("mkosi.uki-profiles/", ""))).toEqual([
    '1.conf:2: expected an ID of letters, digits, ".", "_" and "-", found ""',
    "2.conf:3: unknown setting CmdLine=",
    "3.conf:2: Profile=: missing closing '",
    '3.conf:3: SignExpectedPcr=: expected yes or no, found "perhaps"',
    '3.conf:2: expected an ID of letters, digits, ".", "_" and "-", found ""',
    "2.conf: ID=main is that of the image without a profile",
  ]);
  const none = resolveProject({ "mkosi.conf": "[Content]\nUnifiedKernelImageProfiles=/project,mkosi.conf\n" });
  expect(lines(none.errors)).toEqual([
    "mkosi.conf:2: UnifiedKernelImageProfiles=: /project cannot be read",
    "mkosi.conf:2: UnifiedKernelImageProfiles=: /project/mkosi.conf has no section [UKIProfile]",
  ]);
});

const withPassphrase = (mode: number): ReturnType<typeof resolveProject> =>
  resolveProject({ "mkosi.conf": "", "mkosi.passphrase": { text: "secret", mode } });

test.for([
  ["all", "all"],
  ["data", "data"],
  ["no", "none"],
  ["yes", "all"],
] as const)("Encrypt=%s of the first mkosi", ([value, encrypt]) => {
  expect(resolveProject({ "mkosi.default": `[Output]\nEncrypt=${value}\n` }).config).toMatchObject({ encrypt });
});

test("Encrypt= of something else is refused", () => {
  expect(resolveProject({ "mkosi.conf": "[Partitions]\nEncrypt=some\n" }).errors).toMatchObject([
    { message: expect.stringContaining("Encrypt=") as unknown },
  ]);
});

test("a passphrase file is found in the project, and must not be open to everybody", () => {
  expect(withPassphrase(0o600).config?.passphraseFile).toBe("/project/mkosi.passphrase");
  expect(withPassphrase(0o604).errors[0]).toMatchObject({
    code: "secret-open",
    hint: "chmod o= /project/mkosi.passphrase",
  });
});

test("a password file that everybody can read is refused", () => {
  const open = resolveProject({ "mkosi.conf": "", "mkosi.rootpw": { text: "secret\n", mode: 0o644 } });
  expect(open.errors).toMatchObject([
    { code: "secret-open", file: "/project/mkosi.rootpw", hint: "chmod o= /project/mkosi.rootpw" },
  ]);
  const closed = resolveProject({ "mkosi.conf": "", "mkosi.rootpw": { text: "hashed:$y$x\n", mode: 0o600 } });
  expect(closed.config?.rootPassword).toBe("hashed:$y$x");
});

test("a version that is a program's output", () => {
  const files = { "mkosi.conf": "", "mkosi.version": { text: "#!/bin/sh\n", mode: 0o755 } };
  expect(resolveProject(files, { runText: (path) => `from ${path}\n` }).config?.imageVersion).toBe(
    "from /project/mkosi.version",
  );
  expect(resolveProject(files).errors).toMatchObject([{ code: "file-executable" }]);
  const failing = resolveProject(files, {
    runText: () => {
      throw new Error("exit status 1");
    },
  });
  expect(lines(failing.errors)).toEqual(["mkosi.version: ImageVersion=: exit status 1"]);
});

const seedOf = (text: string): string | undefined => resolveProject({ "mkosi.conf": text }).config?.seed;

test("seeds are derived, never random", () => {
  expect(seedOf("")).toBe(seedOf("[Output]\nOutput=image"));
  expect(seedOf("")).not.toBe(seedOf("[Output]\nOutput=other"));
  expect(seedOf("[Output]\nImageId=a\nImageVersion=1")).toBe(seedOf("[Output]\nImageId=a\nImageVersion=2"));
  // Pinned, and what Python's uuid5 makes of it: another derivation would change every image.
  expect(seedOf("")).toBe("1d3e92fa-db49-5131-ba54-69efb3a57430");
});

/** The time of an image with inputs of several ages. */
function timeOf(conf: string, environment: Readonly<Record<string, string>> = {}): number | undefined {
  const files = {
    "mkosi.conf": { text: conf, modified: 100 },
    "mkosi.extra/a/b": { text: "", modified: 300 },
    "mkosi.finalize": { text: "", modified: 200, mode: 0o755 },
    "README.md": { text: "", modified: 900 },
  };
  return resolveProject(files, { environment }).config?.sourceDateEpoch;
}

test("the time of the image: setting, variables, newest input", () => {
  expect(timeOf("")).toBe(300);
  expect(timeOf("", { SOURCE_DATE_EPOCH: "7" })).toBe(7);
  expect(timeOf("[Build]\nEnvironment=SOURCE_DATE_EPOCH=8", { SOURCE_DATE_EPOCH: "7" })).toBe(8);
  expect(timeOf("[Content]\nSourceDateEpoch=0", { SOURCE_DATE_EPOCH: "7" })).toBe(0);
});

test("sections and names that are nearly right", () => {
  const { warnings } = resolveProject({
    "mkosi.conf": "[Contents]\nPackages=a\n[X-Other]\nb=c\n[Output]\nHostname=x\n",
  });
  expect(warnings.map((problem) => [formatProblem(problem, "/project"), problem.hint])).toEqual([
    ["mkosi.conf:1: unknown section [Contents]; its settings are ignored", "did you mean [Content]?"],
    ["mkosi.conf:6: Hostname= belongs into [Content], not [Output]", undefined],
  ]);
});

test("a project that is not there, empty, or does not match", () => {
  expect(resolveProject({}).warnings).toMatchObject([{ code: "config-missing" }]);
  expect(resolveProject({ "mkosi.conf": "[Match]\nDistribution=fedora\n" }).errors).toMatchObject([
    { code: "project-unmatched" },
  ]);
});

test("packages that were not separated, trees that are not there, scripts that cannot run", () => {
  const { config, warnings } = resolveProject({
    "mkosi.conf": "[Content]\nPackages=vim less\n  (a if b)\n  ~nsystemd ~i\nExtraTrees=nowhere\n",
    "mkosi.finalize": "#!/bin/sh\n",
  });
  expect(config?.packages).toEqual(["vim less", "(a if b)", "~nsystemd ~i"]);
  expect(lines(warnings)).toEqual([
    'mkosi.conf:2: Packages=: "vim less" is one package name with white space in it',
    "mkosi.conf:5: /project/nowhere does not exist",
    "mkosi.finalize: FinalizeScripts=: /project/mkosi.finalize is not executable",
  ]);
});

// Time that grew with the square of the size would run into the time-out.
test("a large project resolves", () => {
  const many = Array.from({ length: 15_000 }, (_, index) => `Packages=package-${index}`);
  const { config } = resolveProject({
    "mkosi.conf": `[Content]\n${many.join("\n")}\n`,
    "mkosi.version": "\n".repeat(200_000),
  });
  expect(config?.packages).toHaveLength(15_000);
});

test("sub-images: each with its own configuration, in the order of their dependencies", () => {
  const { config, subImages, errors, warnings } = resolveProject({
    "mkosi.conf": "[Output]\nImageVersion=2\n[Content]\nPackages=main\nExtraTrees=%O/b\n",
    "mkosi.output/": "",
    "mkosi.images/a.conf": "[Config]\nDependencies=b\n[Content]\nPackages=a\n",
    "mkosi.images/b/mkosi.conf": "[Output]\nFormat=directory\n",
    "mkosi.images/b/mkosi.extra/": "",
  });
  expect(errors).toEqual([]);
  expect(warnings).toEqual([]);
  expect(subImages.map(({ dependencies }) => dependencies)).toEqual([[], ["b"]]);
  expect(config).toMatchObject({ output: "image_2", packages: ["main"] });
  expect(subImages.map(({ image, config }) => [image, config?.output, config?.packages, config?.extraTrees])).toEqual([
    ["b", "b_2", [], [{ source: "/project/mkosi.images/b/mkosi.extra", target: "/" }]],
    ["a", "a_2", ["a"], []],
  ]);
  expect(new Set([config?.seed, ...subImages.map((image) => image.config?.seed)]).size).toBe(3);
});

test("sub-images: what cannot be is named with its place", () => {
  const { errors } = resolveProject({
    "mkosi.conf": "[Config]\nDependencies=base,bse\n",
    "mkosi.images/base.conf": "[Config]\nDependencies=base\n[Distribution]\nRelease=sid\n",
  });
  expect(errors.map((problem) => [formatProblem(problem, "/project"), problem.hint])).toEqual([
    [
      "mkosi.images/base.conf:4: Release= holds for all images and cannot be set in sub-image base",
      "set it in the project's own mkosi.conf",
    ],
    ["mkosi.images/base.conf:2: Dependencies=: images depend on each other: base → base", undefined],
    [
      "mkosi.conf:2: Dependencies=: no image named bse in mkosi.images/, or its [Match] does not hold",
      "did you mean base?",
    ],
  ]);
});
