/**
 * `imgtool clean`: removes what build made, and nothing else.
 * @module
 */
import type { Command } from "commander";
import { becomeRootIfPossible } from "../become-root.ts";
import { projectCommand, requireConfig } from "../project.ts";
import { runVerb } from "../verb.ts";

export function command(): Command {
  const project = projectCommand(
    "clean",
    "Remove the outputs of build. The package cache and published versions stay.",
  );
  return project.command.action(() =>
    runVerb(project.command, async ({ reporter }) => {
      // What a build in a user namespace made belongs to that namespace's users.
      await becomeRootIfPossible();
      const config = requireConfig(project, reporter);
      const builder = await import("@imgtool/builder");
      const removed = await builder.clean(config);
      reporter.result({ removed }, removed.map((path) => `removed ${path}`).join("\n"));
    }),
  );
}
