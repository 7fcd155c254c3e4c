/**
 * `imgtool build`: from a project directory to an image.
 * @module
 */
import { formatSize } from "@imgtool/core";
import type { Command } from "commander";
import { becomeRoot } from "../become-root.ts";
import { projectCommand, requireProject } from "../project.ts";
import { runVerb } from "../verb.ts";

interface BuildOptions {
  readonly force?: boolean;
}

export function command(): Command {
  const project = projectCommand("build", "Build the image that the project directory and the options describe.");
  const { command: build } = project;
  build.option("-f, --force", "replace outputs of an earlier build");
  return build.action(() =>
    runVerb(build, async ({ reporter, signal }) => {
      await becomeRoot();
      const { config, images } = requireProject(project, reporter);
      const builder = await import("@imgtool/builder");
      const record = await builder.buildImages(images, {
        progress: reporter,
        signal,
        force: build.opts<BuildOptions>().force === true,
      });
      const lines = record.artifacts.map(
        ({ path, size, rootHash }) =>
          `${config.outputDirectory}/${path}  ${formatSize(size)}${rootHash === undefined ? "" : `  root hash ${rootHash}`}`,
      );
      reporter.result({ outputDirectory: config.outputDirectory, record }, lines.join("\n"));
    }),
  );
}
