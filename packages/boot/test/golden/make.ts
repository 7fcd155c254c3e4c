/**
 * Makes the golden image with ukify (golden: version 257.13 of Debian 13):
 * `node --conditions=@imgtool/source packages/boot/test/golden/make.ts /usr/lib/systemd/ukify`
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeStub } from "@imgtool/testkit";
import { goldenParts } from "../parts.ts";

const [ukify = "/usr/lib/systemd/ukify"] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "ukify-"));
const path = (name: string): string => join(folder, name);
writeFileSync(path("stub"), makeStub());
for (const [name, content] of Object.entries(goldenParts)) writeFileSync(path(name), content);
const output = join(import.meta.dirname, "uki.efi");
const inputs = [
  `--stub=${path("stub")} --linux=${path("linux")} --initrd=${path("initrd")} --initrd=${path("modules")}`,
  `--os-release=@${path("osRelease")} --cmdline=@${path("commandLine")} --microcode=${path("ucode")}`,
  `--splash=${path("splash")} --devicetree=${path("dtb")} --uname=6.1.0-test`,
].flatMap((line) => line.split(" "));
execFileSync("/usr/bin/python3", [ukify, "build", "--efi-arch=x64", `--output=${output}`, ...inputs]);
