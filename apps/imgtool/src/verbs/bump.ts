/**
 * `imgtool bump`: counts the version of the image up, in mkosi.version, or as mkosi.bump says.
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ConfigError } from "@imgtool/core";
import { makeAtomically, pathExists, runTool } from "@imgtool/host";
import type { Command } from "commander";
import { projectCommand, requireConfig } from "../project.ts";
import { runVerb } from "../verb.ts";

/** The version with its last number raised: `1.9` → `1.10`, `7~rc1` → `7~rc2`; `1` where there is none. */
export function nextVersion(version: string | undefined): string {
  if (version === undefined || version === "") return "1";
  const match = /^(.*?)(\d+)(\D*)$/s.exec(version);
  if (match === null) {
    throw new ConfigError(`the version "${version}" has no number to count up`, {
      code: "version-invalid",
      hint: "write one into mkosi.version, or a program mkosi.bump that prints the next version",
      data: { version },
    });
  }
  const [, head = "", number = "0", tail = ""] = match;
  const next = String(BigInt(number) + 1n);
  return `${head}${next.padStart(number.length, "0")}${tail}`;
}

export function command(): Command {
  const project = projectCommand("bump", "Count the version of the image up, in mkosi.version.");
  const { command: bump } = project;
  return bump.action(() =>
    runVerb(bump, async ({ reporter, signal }) => {
      const directory = resolve(bump.opts<{ readonly directory: string }>().directory);
      const file = join(directory, "mkosi.version");
      const script = join(directory, "mkosi.bump");
      const isProgram = (await pathExists(file)) && (await readFile(file)).toString("latin1", 0, 2) === "#!";
      if (isProgram) {
        throw new ConfigError(`${file} is a program: it decides the version itself`, {
          code: "version-invalid",
          data: { file },
        });
      }
      const former = (await requireConfig(project, reporter)).imageVersion;
      const version = (await pathExists(script))
        ? (await runTool(script, [], { cwd: directory, signal })).stdout.trim()
        : nextVersion(former);
      await makeAtomically(file, async (temporary) => await writeFile(temporary, `${version}\n`));
      reporter.result({ former, version, file }, former === undefined ? version : `${former} → ${version}`);
    }),
  );
}
