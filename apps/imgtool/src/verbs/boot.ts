/**
 * `imgtool boot`: boots the image in a container, and ends with its status.
 * @module
 */
import type { Command } from "commander";
import { runCommand, runnableProject } from "../run-project.ts";
import { runVerb } from "../verb.ts";

export function command(): Command {
  const project = runCommand(
    "boot",
    "Boot the image in a container with systemd-nspawn, and end with its status.",
    "arguments of the image's init, after --",
  );
  const { command: boot } = project;
  return boot.action(() =>
    runVerb(boot, async (context) => {
      const { image, runtime } = await runnableProject(project, context);
      const { runContainer } = await import("@imgtool/machine");
      const { reporter: progress, signal } = context;
      const status = await runContainer({ image, runtime, mode: "boot", command: boot.args, progress, signal });
      context.reporter.result({ status }, "");
      process.exitCode = status;
    }),
  );
}
