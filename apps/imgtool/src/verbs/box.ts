/**
 * `imgtool box [COMMAND…]`: a command, or a shell, with the programs of the project's tools tree.
 * @module
 */
import type { Command } from "commander";
import { becomeRoot } from "../become-root.ts";
import { projectCommand, requireProject } from "../project.ts";
import { runVerb } from "../verb.ts";

export function command(): Command {
  const project = projectCommand("box", "Run a command, or a shell, with the programs of the project's tools tree.");
  const { command: box } = project;
  box.argument("[command...]", "the command; default: your shell").passThroughOptions();
  return box.action(() =>
    runVerb(box, async ({ reporter, signal }) => {
      await becomeRoot();
      const { config } = await requireProject(project, reporter, signal);
      const { toolsTreeCommand } = await import("@imgtool/builder");
      const { runTool } = await import("@imgtool/host");
      // The user's own shell may not be in the tree.
      const wanted = box.args.length > 0 ? box.args : ["sh", "-c", 'exec "$(command -v "${SHELL:-bash}" || echo sh)"'];
      const [program = "sh", ...args] = await toolsTreeCommand(config, { progress: reporter, signal }, wanted);
      const status = await reporter.aside(async () => {
        const own = Object.fromEntries(Object.entries(process.env).map(([name, value]) => [name, value ?? ""]));
        // Where the tree has its programs, whatever this machine's PATH is.
        const env = { ...own, PATH: [own["PATH"], "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin"].join(":") };
        const success = Array.from({ length: 256 }, (_, code) => code);
        return (await runTool(program, args, { env, interactive: true, success, signal })).exitCode;
      });
      reporter.result({ status }, "");
      process.exitCode = status;
    }),
  );
}
