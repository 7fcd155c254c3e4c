import { expect, test } from "vitest";
import { resolveProject, valueOf } from "../test/project.ts";
import { commandLineOptions, findSetting, settings, summaryJson, summaryText } from "./index.ts";
import type { HostFacts, SettingValue } from "./index.ts";

test("every row of the table is complete and its names are its own", () => {
  const names = settings.flatMap((setting) => [setting.name, ...(setting.aliases ?? [])]);
  expect(new Set(names).size).toBe(names.length);
  for (const setting of settings) {
    expect(setting.name).toMatch(/^[A-Z][A-Za-z]+$/);
    expect(setting.help).toMatch(/^[A-Z][^\n]{5,}[^.]$/);
  }
  const specifiers = settings.flatMap((setting) => setting.specifier ?? []);
  expect(new Set(specifiers).size).toBe(specifiers.length);
});

test("every setting has one option, and no two options have one name", () => {
  const longs = commandLineOptions.map((option) => option.long);
  expect(new Set(longs).size).toBe(longs.length);
  const shorts = commandLineOptions.flatMap((option) => option.short ?? []);
  expect(new Set(shorts).size).toBe(shorts.length);
  expect(new Set(commandLineOptions.map((option) => option.setting)).size).toBe(settings.length);
  for (const option of commandLineOptions)
    expect(option.flags).toMatch(/^(-[A-Za-z], )?--[a-z][a-z-]+ [<[][^<>[\]]+[>\]]$|^--xz$/);
  const flags = Object.fromEntries(commandLineOptions.map((option) => [option.setting, option.flags]));
  expect(flags).toMatchObject({
    Distribution: "-d, --distribution <NAME>",
    Release: "-r, --release <NAME>",
    Packages: "-p, --package <PACKAGE>",
    Format: "-t, --format <FORMAT>",
    Output: "-o, --output <NAME>",
    OutputDirectory: "--output-dir <DIRECTORY>",
    Mirror: "-m, --mirror <URL>",
    Checksum: "--checksum [BOOL]",
    SELinuxRelabel: "--selinux-relabel <FEATURE>",
    OpenPGPTool: "--openpgp-tool <PROGRAM>",
    CPUs: "--qemu-smp <NUMBER>",
  });
});

test("old names lead to today's settings", () => {
  expect(findSetting("QemuMem")?.name).toBe("RAM");
  expect(findSetting("PostInstallationScript")?.name).toBe("PostInstallationScripts");
  expect(findSetting("toString")).toBeUndefined();
});

/** Distribution, release and architecture of a project on a machine. */
function systemOn(machine: Partial<HostFacts>, text = ""): SettingValue[] {
  const resolution = resolveProject({ "mkosi.conf": text }, { host: machine });
  return ["Distribution", "Release", "Architecture"].map((name) => valueOf(resolution, name));
}

test("distribution, release and architecture default to the machine's", () => {
  expect(systemOn({})).toEqual(["debian", "trixie", "x86-64"]);
  expect(systemOn({ release: "bookworm", architecture: "arm64" })).toEqual(["debian", "bookworm", "arm64"]);
  expect(systemOn({ distribution: "ubuntu", release: "plucky" })).toEqual(["ubuntu", "plucky", "x86-64"]);
  expect(systemOn({ distribution: "fedora", release: "42" })).toEqual(["debian", "trixie", "x86-64"]);
  expect(systemOn({ distribution: "fedora", release: "42" }, "[Distribution]\nDistribution=fedora")).toEqual([
    "fedora",
    "42",
    "x86-64",
  ]);
  expect(systemOn({ distribution: undefined, release: undefined })).toEqual(["debian", "trixie", "x86-64"]);
});

test("the summary for programs has mkosi's form", () => {
  const files = {
    "mkosi.conf":
      "[Content]\nExtraTrees=t:/x\nUnifiedKernelImageProfiles=factory\n[Build]\nEnvironment=A=1\nBuildDirectory=b",
    "mkosi.env": "B=2",
    factory: "[UKIProfile]\nProfile=ID=factory\n  TITLE=Reset\nCmdline=a b",
    "b/": "",
    "t/": "",
  };
  const resolution = resolveProject(files);
  const json = summaryJson(resolution);
  expect(json.Images).toHaveLength(1);
  expect(json.Images[0]).toMatchObject({
    Distribution: "debian",
    ExtraTrees: [{ Source: "/project/t", Target: "/x" }],
    Environment: { A: "1", B: "2" },
    EnvironmentFiles: ["/project/mkosi.env"],
    BuildDirectory: "/project/b",
    UnifiedKernelImageProfiles: [
      { Profile: { ID: "factory", TITLE: "Reset" }, Cmdline: ["a", "b"], SignExpectedPcr: true },
    ],
    Files: ["/project/mkosi.conf", "/project/factory"],
    Image: null,
    Bootable: "auto",
    VerityKeySource: { Type: "file", Source: "" },
  });
  expect(Object.keys(json.Images[0] ?? {})).toEqual(Object.keys(json.Images[0] ?? {}).sort());
  expect(JSON.parse(JSON.stringify(json))).toEqual(json);
  expect(summaryText(resolution)).toContain("UnifiedKernelImageProfiles: /project/factory");
  // What a configure script gives back unchanged is no change.
  const configured = [{ image: undefined, script: "/project/mkosi.configure", settings: json.Images[0] ?? {} }];
  expect(resolveProject(files, { configured }).errors).toEqual([]);
});

test("the summary for people is aligned and says where a value comes from", () => {
  const resolution = resolveProject(
    { "mkosi.conf": "[Content]\nPackages=a\n  b\nRootPassword=secret\n[Output]\nImageId=demo", "mkosi.version": "3" },
    { options: ["Release=sid"] },
  );
  const text = summaryText(resolution, { directory: "/project" });
  expect(text).not.toContain("secret");
  const lines = text.split("\n").map((line) => line.trim());
  expect(lines).toContain("[Output]");
  expect(lines).toContain("Release: sid  (--Release)");
  expect(lines).toContain("Output: demo_3");
  expect(lines).toContain("OutputDirectory: /project");
  expect(lines).toContain("SectorSize: 512");
  expect(lines).toContain("ImageVersion: 3  (mkosi.version)");
  expect(lines).toContain("Packages: a  (mkosi.conf:2)");
  expect(lines).toContain("b  (mkosi.conf:3)");
  expect(lines).toContain("RootPassword: (set)  (mkosi.conf:4)");
  const columns = new Set(
    text
      .split("\n")
      .filter((line) => line.includes(": "))
      .map((line) => line.indexOf(": ")),
  );
  expect(columns.size).toBe(1);
  expect(text).not.toContain("MicrocodeHost");
  expect(summaryText(resolution, { all: true })).toContain("MicrocodeHost: no");
});
