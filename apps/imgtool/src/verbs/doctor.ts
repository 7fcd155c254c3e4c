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
      const packages = [...new Set(rows.filter((row) => row.path === undefined).map((row) => row.package))].sort();
      if (doctor.opts<DoctorOptions>().missingPackages === true) {
        reporter.result({ missingPackages: packages }, packages.join(" "));
        return;
      }
      const lines = rows.map(
        (row) => `${row.path === undefined ? "missing" : "     ok"}  ${row.name.padEnd(18)} ${row.purpose}`,
      );
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
