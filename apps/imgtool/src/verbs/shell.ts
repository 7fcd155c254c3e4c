/**
 * `imgtool shell`: runs a command in the image, and ends with its status.
 * @module
 */
import type { Command } from "commander";
import { runCommand, runnableProject } from "../run-project.ts";
import { runVerb } from "../verb.ts";

export function command(): Command {
  const project = runCommand(
    "shell",
    "Run a command, or a login shell, in the image with systemd-nspawn.",
    "the command; default: a login shell",
  );
  const { command: shell } = project;
  return shell.action(() =>
    runVerb(shell, async (context) => {
      const { image, runtime } = await runnableProject(project, context);
      const { runContainer } = await import("@imgtool/machine");
      const { reporter: progress, signal } = context;
      const status = await runContainer({ image, runtime, mode: "shell", command: shell.args, progress, signal });
      context.reporter.result({ status }, "");
      process.exitCode = status;
    }),
  );
}
