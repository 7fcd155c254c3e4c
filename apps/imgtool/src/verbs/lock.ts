/**
 * `imgtool lock`: writes the exact packages of the image to imgtool.lock, which builds then keep to.
 * @module
 */
import type { Command } from "commander";
import { becomeRootIfPossible } from "../become-root.ts";
import { projectCommand, requireConfig } from "../project.ts";
import { runVerb } from "../verb.ts";

export function command(): Command {
  const project = projectCommand(
    "lock",
    "Write the exact packages of the image to imgtool.lock: builds take no others.",
  );
  return project.command.action(() =>
    runVerb(project.command, async ({ reporter, signal }) => {
      await becomeRootIfPossible();
      const config = await requireConfig(project, reporter);
      const builder = await import("@imgtool/builder");
      const { packages, initrd } = await builder.lock(config, { progress: reporter, signal });
      const file = builder.lockPath(config);
      const more = initrd.length === 0 ? "" : `, and ${initrd.length} of the initrd`;
      reporter.result(
        { file, packages: packages.length, initrd: initrd.length },
        `${file}: ${packages.length} packages${more}`,
      );
    }),
  );
}
