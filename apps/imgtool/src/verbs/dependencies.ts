/**
 * `imgtool dependencies`: the Debian packages that a machine needs to build the project, one a line.
 * @module
 */
import { hostTools } from "@imgtool/host";
import type { Command } from "commander";
import { projectCommand, requireConfig } from "../project.ts";
import { runVerb } from "../verb.ts";

const rpm: readonly string[] = ["dnf", "rpm"];
const managers: Readonly<Record<string, readonly string[]>> = {
  fedora: rpm,
  centos: rpm,
  rhel: rpm,
  rocky: rpm,
  alma: rpm,
  opensuse: ["zypper", "rpm"],
  arch: ["pacman"],
};

export function command(): Command {
  const project = projectCommand("dependencies", "List the Debian packages that building the project needs.");
  return project.command.action(() =>
    runVerb(project.command, async ({ reporter }) => {
      const config = await requireConfig(project, reporter);
      const tools = [
        ...Object.keys(hostTools).filter((name) => hostTools[name]?.optional !== true),
        ...(managers[config.distribution] ?? []),
        ...(config.sign ? ["gpg"] : []),
        ...(config.diskFile === "raw" ? [] : ["qemu-img"]),
      ];
      const packages = [...new Set(tools.map((name) => hostTools[name]?.package ?? name))].sort();
      reporter.result({ packages }, packages.join("\n"));
    }),
  );
}
