/**
 * Makes the golden images with ukify (golden: version 257.13 of Debian 13, which signs measurements with
 * systemd-measure of the same version):
 * `node --conditions=@imgtool/source packages/boot/test/golden/make.ts [COMMAND …] /usr/lib/systemd/ukify`
 * COMMAND runs a program elsewhere, where /tmp is the same.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatProfile, measuredSections, peContent, readPe } from "@imgtool/boot";
import { makeStub, testKey } from "@imgtool/testkit";
import { addonStub, goldenParts, goldenProfiles } from "../parts.ts";

const [command = "/usr/lib/systemd/ukify", ...words] = process.argv.slice(2);
/** What runs a program where ukify is. */
const before = [command, ...words].slice(0, -1);
const folder = mkdtempSync("/tmp/ukify-");
const path = (name: string): string => join(folder, name);
const build = (output: string, options: string, stub = "stub"): void => {
  const given = options.split(/\s+/).filter((word) => word !== "");
  const args = [...words, "build", "--efi-arch=x64", `--stub=${path(stub)}`, `--output=${output}`, ...given];
  execFileSync(command, args);
};
const keep = (name: string): void => copyFileSync(path(name), join(import.meta.dirname, name));

writeFileSync(path("stub"), makeStub());
writeFileSync(path("addon-stub"), addonStub);
writeFileSync(path("key"), testKey, { mode: 0o600 });
for (const [name, content] of Object.entries(goldenParts)) writeFileSync(path(name), content);

const whole = `--linux=${path("linux")} --initrd=${path("initrd")} --initrd=${path("modules")} --os-release=@${path("osRelease")}
   --cmdline=@${path("commandLine")} --microcode=${path("ucode")} --splash=${path("splash")}
   --devicetree=${path("dtb")} --uname=6.1.0-test`;
build(path("uki.efi"), whole);
keep("uki.efi");
// systemd-measure gets the sections as files.
const image = readFileSync(path("uki.efi"));
const sections = measuredSections.flatMap((name) => {
  const content = peContent(image, readPe(image), name);
  if (content === undefined) return [];
  writeFileSync(path(`section${name}`), content);
  return [`--${name.slice(1)}=${path(`section${name}`)}`];
});
const [measureCommand, ...measureWords] = [...before, "/usr/lib/systemd/systemd-measure"];
writeFileSync(
  join(import.meta.dirname, "uki.pcrs.json"),
  execFileSync(measureCommand, [...measureWords, "calculate", "--json=short", ...sections]),
);
build(path("uki-pcr.efi"), `${whole} --pcr-private-key=${path("key")} --pcr-banks=sha256`);
keep("uki-pcr.efi");

// As mkosi does: a program that holds the profile, which ukify joins.
const joined = goldenProfiles.map(({ properties, commandLine }) => {
  const name = path(`${properties["ID"] ?? ""}.profile`);
  writeFileSync(name, formatProfile(properties));
  writeFileSync(`${name}.cmdline`, `${commandLine ?? ""}\0`);
  build(
    `${name}.efi`,
    `--profile=@${name} ${commandLine === undefined ? "" : `--cmdline=@${name}.cmdline`}`,
    "addon-stub",
  );
  return `--join-profile=${name}.efi`;
});
build(
  path("profiles.efi"),
  `--linux=${path("linux")} --initrd=${path("initrd")} --os-release=@${path("osRelease")} --uname=6.1.0-test
   --cmdline=@${path("commandLine")} --microcode=${path("ucode")} --splash=${path("splash")}
   --devicetree=${path("dtb")} ${joined.join(" ")}
   --pcr-banks=sha256 --pcr-private-key=${path("key")}`,
);
keep("profiles.efi");

build(path("addon.efi"), `--cmdline=@${path("commandLine")} --initrd=${path("initrd")}`, "addon-stub");
keep("addon.efi");
rmSync(folder, { recursive: true });
