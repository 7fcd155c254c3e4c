/**
 * `imgtool doctor`: which host tools are there and how new, what is not possible without the others, and the
 * command that installs them.
 * @module
 */
import { EnvironmentError, ImgtoolError } from "@imgtool/core";
import { findTool, hostTools, runTool } from "@imgtool/host";
import type { Command } from "commander";
import { doctorLines, findVersion, isOld, type ToolRow } from "../doctor-report.ts";
import { runVerb, verbCommand } from "../verb.ts";

/** Milliseconds: a program that does not answer shall not hold up the others. */
const longestAnswer = 10_000;

interface DoctorOptions {
  readonly missingPackages?: boolean;
}

export function command(): Command {
  const doctor = verbCommand("doctor", "Say which host tools are missing and how to install them.").option(
    "--missing-packages",
    "print only the names of the Debian packages to install",
  );
  return doctor.action(() =>
    runVerb(doctor, async ({ reporter }) => {
      const names = Object.keys(hostTools);
      const rows = await Promise.all(names.map(async (name) => await readRow(name)));
      const absent = rows.filter((row) => row.path === undefined && row.optional !== true);
      const packages = [...new Set(absent.map((row) => row.package))].sort();
      if (doctor.opts<DoctorOptions>().missingPackages === true) {
        reporter.result({ missingPackages: packages }, packages.join(" "));
        return;
      }
      const tools = rows.map((row) => ({ ...row, old: isOld(row) }));
      reporter.result({ tools, missingPackages: packages }, doctorLines(rows).join("\n"));
      if (packages.length > 0) {
        throw new EnvironmentError(`host tools are missing: ${packages.join(", ")}`, {
          code: "tool-missing",
          hint: `apt-get install ${packages.join(" ")}`,
          data: { packages },
        });
      }
    }),
  );
}

async function readRow(name: string): Promise<ToolRow> {
  const tool = hostTools[name];
  if (tool === undefined) throw new RangeError(`no host program ${name} in the table`);
  const path = await findTool(name);
  const { versionArguments = ["--version"] } = tool;
  if (path === undefined || versionArguments.length === 0) return { name, ...tool, path, version: undefined };
  return { name, ...tool, path, version: await askVersion(path, versionArguments) };
}

/** Some exit with 1 after they have told it, and some tell it on standard error. */
async function askVersion(path: string, versionArguments: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await runTool(path, versionArguments, {
      success: [0, 1],
      signal: AbortSignal.timeout(longestAnswer),
    });
    return findVersion(`${stdout}\n${stderr}`);
  } catch (error) {
    if (error instanceof ImgtoolError) return undefined;
    throw error;
  }
}
