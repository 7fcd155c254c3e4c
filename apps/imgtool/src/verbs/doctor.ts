/**
 * `imgtool doctor`: which host tools are there, which are missing, and the command that installs them.
 * @module
 */
import { EnvironmentError } from "@imgtool/core";
import { findTool, hostTools } from "@imgtool/host";
import type { Command } from "commander";
import { runVerb, verbCommand } from "../verb.ts";

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
      const rows = await Promise.all(
        Object.entries(hostTools).map(async ([name, tool]) => ({ name, ...tool, path: await findTool(name) })),
      );
      const absent = rows.filter((row) => row.path === undefined && row.optional !== true);
      const packages = [...new Set(absent.map((row) => row.package))].sort();
      if (doctor.opts<DoctorOptions>().missingPackages === true) {
        reporter.result({ missingPackages: packages }, packages.join(" "));
        return;
      }
      const lines = rows.map((row) => `${state(row).padStart(8)}  ${row.name.padEnd(18)} ${row.purpose}`);
      reporter.result({ tools: rows, missingPackages: packages }, lines.join("\n"));
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

/** What is optional is named with the package that brings it, and asked of nobody. */
function state({ path, optional }: { readonly path: string | undefined; readonly optional?: boolean }): string {
  if (path !== undefined) return "ok";
  return optional === true ? "optional" : "missing";
}
