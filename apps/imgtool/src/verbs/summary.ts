/**
 * `imgtool summary`: the resolved configuration, for people or in the form of `mkosi --json summary`.
 * @module
 */
import { resolve } from "node:path";
import { formatProblem, summaryJson, summaryText } from "@imgtool/config";
import type { Command } from "commander";
import { projectCommand, problemsError, readProject } from "../project.ts";
import { lineReporter } from "../report/lines.ts";
import { runVerb } from "../verb.ts";

interface SummaryOptions {
  readonly directory: string;
  readonly all?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly debug?: boolean;
}

export function command(): Command {
  const project = projectCommand("summary", "Show the resolved configuration and where each value is written.");
  const { command: summary } = project;
  summary.option("--all", "show every setting, not only those that are set or that imgtool acts on");
  return summary.action(() =>
    runVerb(summary, async ({ reporter }) => {
      const options = summary.opts<SummaryOptions>();
      // One JSON document and no events: what reads mkosi's summary reads this. Warnings are beside it.
      const { json = false, quiet = false, verbose = false, debug = false } = options;
      const said = json ? lineReporter(process.stderr, { json, quiet, verbose, debug }) : reporter;
      const resolution = readProject(project, said);
      const directory = resolve(options.directory);
      const mistakes = resolution.errors.filter(({ onlyForBuilds }) => onlyForBuilds !== true);
      if (mistakes.length > 0) throw problemsError(mistakes, directory);
      for (const problem of resolution.errors)
        said.log("warning", `${formatProblem(problem, directory)}; a build ends here`, problem.hint);
      if (options.json === true) process.stdout.write(`${JSON.stringify(summaryJson(resolution), undefined, 4)}\n`);
      else {
        const text = summaryText(resolution, { directory, all: options.all === true });
        reporter.result({ ...summaryJson(resolution) }, text);
      }
    }),
  );
}
