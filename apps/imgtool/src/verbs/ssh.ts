/**
 * `imgtool ssh`: a shell or a command in the virtual machine that `imgtool vm` runs, by SSH.
 * @module
 */
import { once } from "node:events";
import { ProcessError } from "@imgtool/core";
import { requireTool, spawnTool } from "@imgtool/host";
import type { Command } from "commander";
import { projectCommand, requireProject } from "../project.ts";
import { runVerb } from "../verb.ts";

export function command(): Command {
  const project = projectCommand("ssh", "Log in to the virtual machine that imgtool vm runs, or run a command there.");
  const { command: ssh } = project;
  ssh.argument("[arguments...]", "further arguments of ssh: the command").passThroughOptions();
  return ssh.action(() =>
    runVerb(ssh, async ({ reporter, signal }) => {
      const { config, runtime } = await requireProject(project, reporter, signal);
      const { findMachine, sshArguments } = await import("@imgtool/machine");
      const machine = await findMachine(runtime.machine ?? config.imageId ?? config.output);
      if ("vsock" in machine.address) await requireTool("socat");
      const child = await spawnTool("ssh", sshArguments(machine, ssh.args), {
        stdio: "inherit",
        terminal: true,
        signal,
      });
      const [code, killedBy] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
      if (code === null)
        throw new ProcessError(`ssh was killed by ${String(killedBy)}`, { data: { signal: killedBy } });
      reporter.result({ status: code }, "");
      process.exitCode = code;
    }),
  );
}
