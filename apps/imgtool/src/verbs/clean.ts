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
    "Run the clean scripts, and remove the outputs of build. Published versions stay.",
  );
  project.command.option(
    "-f, --force",
    "remove what Incremental= kept, too; twice, also the downloaded packages of its distribution",
    (_: string, times: number) => times + 1,
    0,
  );
  return project.command.action(() =>
    runVerb(project.command, async ({ reporter, signal }) => {
      // What a build in a user namespace made belongs to that namespace's users.
      await becomeRootIfPossible();
      const { images } = await requireProject(project, reporter);
      const { force, debug = false } = project.command.opts<{ readonly force: number; readonly debug?: boolean }>();
      const caches = force === 0 ? "none" : force === 1 ? "incremental" : "all";
      const builder = await import("@imgtool/builder");
      const removed: string[] = [];
      for (const { config, settings } of images)
        removed.push(
          ...(await builder.clean(config, {
            progress: reporter,
            signal,
            caches,
            debug,
            ...(settings === undefined ? {} : { settings }),
          })),
        );
      reporter.result({ removed }, removed.map((path) => `removed ${path}`).join("\n"));
    }),
  );
}
