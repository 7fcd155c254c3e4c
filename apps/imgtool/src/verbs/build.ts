/**
 * `imgtool build`: from a project directory to an image.
 * @module
 */
import { resolve } from "node:path";
import type { BuildImagesOptions } from "@imgtool/builder";
import { errorMessage, formatSize } from "@imgtool/core";
import type { Command } from "commander";
import { becomeRoot } from "../become-root.ts";
import { keepHistory } from "../history.ts";
import { projectCommand, requireProject } from "../project.ts";
import type { Reporter } from "../report/reporter.ts";
import { runVerb } from "../verb.ts";

interface BuildOptions {
  readonly directory: string;
  readonly force?: boolean;
  readonly debugShell?: boolean;
  readonly debug?: boolean;
}

/** Says what went wrong, and gives the terminal to a shell there. */
function debugShell(reporter: Reporter): NonNullable<BuildImagesOptions["onScriptFailure"]> {
  return async (error, openShell) => {
    reporter.log("warning", errorMessage(error));
    reporter.log("info", "a shell where the script failed; the build ends with it");
    await reporter.aside(openShell);
  };
}

export function command(): Command {
  const project = projectCommand("build", "Build the image that the project directory and the options describe.");
  const { command: build } = project;
  build.option("-f, --force", "replace outputs of an earlier build");
  build.option("--debug-shell", "open a shell where a script fails, with everything that it had");
  return build.action(() =>
    runVerb(build, async ({ reporter, signal }) => {
      await becomeRoot();
      const { config, settings, images } = await requireProject(project, reporter, signal);
      const builder = await import("@imgtool/builder");
      const record = await builder.withSurroundings(config, { progress: reporter, signal }, async () =>
        builder.buildImages(images, {
          progress: reporter,
          signal,
          force: build.opts<BuildOptions>().force === true,
          debug: build.opts<BuildOptions>().debug === true,
          ...(build.opts<BuildOptions>().debugShell === true ? { onScriptFailure: debugShell(reporter) } : {}),
        }),
      );
      await keepHistory(resolve(build.opts<BuildOptions>().directory), settings);
      const lines = record.artifacts.map(
        ({ path, size, rootHash }) =>
          `${config.outputDirectory}/${path}  ${formatSize(size)}${rootHash === undefined ? "" : `  root hash ${rootHash}`}`,
      );
      reporter.result({ outputDirectory: config.outputDirectory, record }, lines.join("\n"));
    }),
  );
}
