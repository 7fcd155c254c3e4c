import { expect, test } from "vitest";
import { resolveProject, settingOf, valueOf } from "../test/project.ts";
import { formatProblem } from "./index.ts";

test("an empty project resolves to the defaults", () => {
  const { config, errors } = resolveProject({ "mkosi.conf": "" });
  expect(errors).toEqual([]);
  expect(config).toMatchObject({
    directory: "/project",
    files: ["/project/mkosi.conf"],
    distribution: "debian",
    release: "trixie",
    architecture: "x86-64",
    mirror: undefined,
    format: "disk",
    rootFilesystem: "ext4",
    verity: "no",
    output: "image",
    outputDirectory: "/project",
    compressOutput: "none",
    sectorSize: undefined,
    localMirror: undefined,
    snapshot: undefined,
    repositoryKeyCheck: true,
    repositoryKeyFetch: false,
    sandboxTrees: [],
    baseTrees: [],
    incremental: "no",
    diskFile: "raw",
    overlay: false,
    sign: false,
    openPgpKey: undefined,
    splitArtifacts: ["uki", "kernel", "initrd"],
    ociLabels: {},
    ociAnnotations: {},
    withDocs: true,
    withRecommends: false,
    cleanPackageMetadata: true,
    rootPassword: undefined,
  });
  expect(Object.isFrozen(config) && Object.isFrozen(config?.packages)).toBe(true);
});

test("a project with everything at its usual place", () => {
  const { config, warnings, errors } = resolveProject({
    "mkosi.conf": [
      "[Distribution]",
      "Distribution=ubuntu",
      "Release=noble",
      "Repositories=universe,multiverse",
      "[Output]",
      "ImageId=demo",
      "[Content]",
      "Packages=systemd",
      "         udev,dbus",
      "RootPassword=hashed:$6$x",
      "[Validation]",
      "Verity=hash",
      "Checksum=yes",
      "[Build]",
      'Environment=A=1 "B=two words"',
    ].join("\n"),
    "mkosi.conf.d/20-more.conf": "[Content]\nPackages=vim\n",
    "mkosi.conf.d/10-first.conf": "[Content]\nPackages=less\n",
    "mkosi.conf.d/ignored.txt": "[Content]\nPackages=never\n",
    "mkosi.version": "1.4\n",
    "mkosi.seed": "6b9d3f8e-3f4c-4c3a-9d56-2ad8a5a1c1f7\n",
    "mkosi.env": "C=3\nA=overridden\n",
    "mkosi.output/": "",
    "mkosi.skeleton/etc/a": "",
    "mkosi.extra/etc/b": { text: "", modified: 1_700_000_000 },
    "mkosi.postinst": { text: "#!/bin/sh\n", mode: 0o755 },
    "mkosi.postinst.chroot": { text: "#!/bin/sh\n", mode: 0o755 },
    "mkosi.postinst.d/b": { text: "#!/bin/sh\n", mode: 0o755 },
    "mkosi.postinst.d/a.chroot": { text: "#!/bin/sh\n", mode: 0o755 },
    "mkosi.finalize": { text: "#!/bin/sh\n", mode: 0o755 },
    "mkosi.repart/00-root.conf": "",
    "mkosi.cache/": "",
  });
  expect(errors).toEqual([]);
  expect(warnings).toEqual([]);
  expect(config).toMatchObject({
    files: ["/project/mkosi.conf", "/project/mkosi.conf.d/10-first.conf", "/project/mkosi.conf.d/20-more.conf"],
    distribution: "ubuntu",
    release: "noble",
    repositories: ["universe", "multiverse"],
    imageId: "demo",
    imageVersion: "1.4",
    output: "demo_1.4",
    outputDirectory: "/project/mkosi.output",
    seed: "6b9d3f8e-3f4c-4c3a-9d56-2ad8a5a1c1f7",
    packages: ["systemd", "udev", "dbus", "less", "vim"],
    rootPassword: "hashed:$6$x",
    verity: "hash",
    checksum: true,
    environment: { A: "1", B: "two words", C: "3" },
    skeletonTrees: [{ source: "/project/mkosi.skeleton", target: "/" }],
    extraTrees: [{ source: "/project/mkosi.extra", target: "/" }],
    postInstallationScripts: [
      "/project/mkosi.postinst",
      "/project/mkosi.postinst.chroot",
      "/project/mkosi.postinst.d/a.chroot",
      "/project/mkosi.postinst.d/b",
    ],
    finalizeScripts: ["/project/mkosi.finalize"],
    repartDirectories: ["/project/mkosi.repart"],
    cacheDirectory: "/project/mkosi.cache",
    sourceDateEpoch: 1_700_000_000,
  });
});

test("all problems are shown at once, each with its place and what to do", () => {
  const { config, warnings, errors } = resolveProject({
    "mkosi.conf": "[Content]\nPakages=vim\nWithDocs=maybe\n[Distribution]\nDistribution=debain\nRelease=%z\n",
    "mkosi.conf.d/x.conf": "[Match]\nDistributoin=debian\n",
  });
  expect(config).toBeUndefined();
  expect(warnings.map((problem) => [formatProblem(problem, "/project"), problem.hint])).toEqual([
    ["mkosi.conf:2: unknown setting Pakages=", "did you mean Packages=?"],
    ["mkosi.conf:6: unknown specifier %z", "write %% for a percent sign"],
  ]);
  expect(errors.map((problem) => [formatProblem(problem, "/project"), problem.hint?.slice(0, 22)])).toEqual([
    ['mkosi.conf:3: WithDocs=: expected yes or no, found "maybe"', undefined],
    ['mkosi.conf:5: Distribution=: cannot be "debain"', "did you mean debian? K"],
    ["mkosi.conf.d/x.conf:2: Distributoin= cannot stand in [Match]", "did you mean Distribut"],
  ]);
});

test("every value knows where it was written", () => {
  const resolution = resolveProject(
    { "mkosi.conf": "[Content]\nPackages=a,b\n\n  # c\n  d\n", "mkosi.conf.d/x.conf": "[Content]\nPackages=e" },
    { options: ["Packages=f"] },
  );
  expect(settingOf(resolution, "Packages")).toEqual({
    name: "Packages",
    section: "Content",
    value: ["a", "b", "d", "e", "f"],
    origins: [
      { file: "/project/mkosi.conf", line: 2 },
      { file: "/project/mkosi.conf", line: 2 },
      { file: "/project/mkosi.conf", line: 5 },
      { file: "/project/mkosi.conf.d/x.conf", line: 2 },
      { option: "--Packages" },
    ],
    isDefault: false,
    supported: true,
  });
  expect(valueOf(resolution, "CompressLevel")).toBe(3);
});
