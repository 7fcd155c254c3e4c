/**
 * `imgtool cat-config`: the configuration files that were read, in their order, with their names.
 * @module
 */
import { readFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import type { Command } from "commander";
import { projectCommand, problemsError, readProject } from "../project.ts";
import { runVerb } from "../verb.ts";

export function command(): Command {
  const project = projectCommand("cat-config", "Print the configuration files that are read, in order.");
  const { command: catConfig } = project;
  return catConfig.action(() =>
    runVerb(catConfig, async ({ reporter }) => {
      const directory = resolve(catConfig.opts<{ readonly directory: string }>().directory);
      const { config, errors } = readProject(project, reporter);
      if (config === undefined) throw problemsError(errors, directory);
      const files = config.files.map((path) => ({ path, text: readFileSync(path, "utf8") }));
      const shown = files.map(({ path, text }) => `# ${relative(directory, path) || path}\n${text.trimEnd()}\n`);
      reporter.result({ files }, shown.join("\n"));
    }),
  );
}
