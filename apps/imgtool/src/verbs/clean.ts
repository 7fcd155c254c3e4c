/**
 * `imgtool clean`: removes what build made, and nothing else.
 * @module
 */
import type { Command } from "commander";
import { becomeRootIfPossible } from "../become-root.ts";
import { projectCommand, requireProject } from "../project.ts";
import { runVerb } from "../verb.ts";

export function command(): Command {
  const project = projectCommand(
    "clean",
    "Run the clean scripts, and remove the outputs of build. The package cache and published versions stay.",
  );
  return project.command.action(() =>
    runVerb(project.command, async ({ reporter, signal }) => {
      // What a build in a user namespace made belongs to that namespace's users.
      await becomeRootIfPossible();
      const { config, settings } = requireProject(project, reporter);
      const builder = await import("@imgtool/builder");
      const removed = await builder.clean(config, { progress: reporter, signal, settings });
      reporter.result({ removed }, removed.map((path) => `removed ${path}`).join("\n"));
    }),
  );
}
