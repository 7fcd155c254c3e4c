/**
 * From a build verb's arguments to the resolved project: what `build`, `summary`, `clean` and
 * `publish` begin with.
 * @module
 */
import { resolve } from "node:path";
import {
  type CommandLineItem,
  type ConfiguredImage,
  formatProblem,
  type ImageConfig,
  type Problem,
  type PublishConfig,
  type Resolution,
  resolveConfig,
  type RuntimeConfig,
  summaryJson,
  type SummaryJson,
} from "@imgtool/config";
import type { ProjectImage } from "@imgtool/builder";
import { ConfigError } from "@imgtool/core";
import type { Command } from "commander";
import { projectWasRead } from "./become-root.ts";
import { commitTime } from "./commit-time.ts";
import { hostFacts } from "./host-facts.ts";
import { ignoredOptions, readHistory } from "./history.ts";
import { projectFiles } from "./project-files.ts";
import type { Reporter } from "./report/reporter.ts";
import { addSettingOptions } from "./settings-options.ts";
import { verbCommand } from "./verb.ts";

export interface ProjectCommand {
  readonly command: Command;
  readonly items: readonly CommandLineItem[];
}

/** A verb that works on a project: with `-C` and every setting as an option. */
export function projectCommand(name: string, summary: string): ProjectCommand {
  const command = verbCommand(name, summary).option("-C, --directory <path>", "the project directory", ".");
  return { command, items: addSettingOptions(command) };
}

/** Reads the project and reports its warnings. */
export function readProject(project: ProjectCommand, reporter: Reporter): Resolution {
  return resolveProject(project, reporter, []);
}

function resolveProject(
  { command, items }: ProjectCommand,
  reporter: Reporter,
  configured: readonly ConfiguredImage[],
): Resolution {
  const directory = resolve(command.opts<{ readonly directory: string }>().directory);
  const defaultSourceDateEpoch = commitTime(directory);
  const resolution = resolveConfig({
    directory,
    ...(defaultSourceDateEpoch === undefined ? {} : { defaultSourceDateEpoch }),
    files: projectFiles,
    commandLine: items,
    configured,
    host: hostFacts(),
    environment: Object.fromEntries(
      Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
  });
  // The first time they were said already.
  if (configured.length > 0 || projectWasRead) return resolution;
  for (const warning of resolution.warnings) reporter.log("warning", formatProblem(warning, directory), warning.hint);
  return resolution;
}

/**
 * The configuration of a project that must be right.
 * @throws ConfigError as problemsError makes it
 */
export async function requireConfig(
  project: ProjectCommand,
  reporter: Reporter,
  signal?: AbortSignal,
): Promise<ImageConfig> {
  return (await requireProject(project, reporter, signal)).config;
}

export interface RequiredProject {
  readonly config: ImageConfig;
  readonly runtime: RuntimeConfig;
  /** [Publish] of imgtool.conf. */
  readonly publish: PublishConfig;
  /** Every setting of the main image, in the form of mkosi's summary. */
  readonly settings: SummaryJson["Images"][number];
  /** All images to build, the main image last. */
  readonly images: readonly ProjectImage[];
}

/**
 * As requireConfig, with the settings that running the image takes: those that the configure scripts leave.
 * @throws ConfigError as problemsError makes it; what runConfigureScripts throws
 */
export async function requireProject(
  project: ProjectCommand,
  reporter: Reporter,
  signal?: AbortSignal,
): Promise<RequiredProject> {
  const read = readProject(project, reporter);
  const debug = project.command.opts<{ readonly debug?: boolean }>().debug === true;
  return finishProject(project, reporter, read, await configure(read, reporter, signal, debug));
}

/**
 * As requireProject, for what works on a built image: with the settings of the latest build where they are kept
 * (History=), whatever the files and options have now.
 * @throws as requireProject; ConfigError `history-invalid`
 */
export async function requireBuiltProject(
  project: ProjectCommand,
  reporter: Reporter,
  signal?: AbortSignal,
): Promise<RequiredProject> {
  const latest = readHistory(resolve(project.command.opts<{ readonly directory: string }>().directory));
  if (latest === undefined) return await requireProject(project, reporter, signal);
  const read = readProject(project, reporter);
  for (const option of projectWasRead ? [] : ignoredOptions(read, project.items, latest))
    reporter.log(
      "warning",
      `${option} is ignored: the image is taken as the latest build has made it (History=)`,
      "build it again with this setting",
    );
  return finishProject(project, reporter, read, [latest]);
}

function finishProject(
  project: ProjectCommand,
  reporter: Reporter,
  read: Resolution,
  configured: readonly ConfiguredImage[],
): RequiredProject {
  const resolution = configured.length === 0 ? read : resolveProject(project, reporter, configured);
  const { config, runtime, errors } = resolution;
  if (config !== undefined && errors.length === 0) {
    const summaries = summaryJson(resolution).Images;
    const images = [...resolution.subImages, resolution].flatMap((image, i) =>
      image.config === undefined
        ? []
        : [{ name: image.image, config: image.config, settings: summaries[i], dependencies: image.dependencies }],
    );
    return { config, runtime, publish: resolution.publish, settings: summaries.at(-1) ?? {}, images };
  }
  throw problemsError(errors, resolve(project.command.opts<{ readonly directory: string }>().directory));
}

/** Runs the configure scripts of all images, where they have any. */
async function configure(
  resolution: Resolution,
  reporter: Reporter,
  signal: AbortSignal | undefined,
  debug: boolean,
): Promise<ConfiguredImage[]> {
  const summaries = summaryJson(resolution).Images;
  const configured: ConfiguredImage[] = [];
  for (const [index, { image, config }] of [...resolution.subImages, resolution].entries()) {
    const script = config?.configureScripts.at(-1);
    if (config === undefined || script === undefined) continue;
    const { runConfigureScripts } = await import("@imgtool/builder");
    const settings = await runConfigureScripts({
      config,
      settings: summaries[index] ?? {},
      progress: reporter,
      signal,
      debug,
    });
    configured.push({ image, script, settings });
  }
  return configured;
}

/** One ConfigError for all problems, each on a line of its own with its place and hint. */
export function problemsError(errors: readonly Problem[], directory: string): ConfigError {
  const [first, ...others] = errors;
  const only = first !== undefined && others.length === 0;
  const line = (problem: Problem): string =>
    `${formatProblem(problem, directory)}${only || problem.hint === undefined ? "" : ` (${problem.hint})`}`;
  return new ConfigError(errors.map(line).join("\n       "), {
    code: only ? first.code : "config-invalid",
    data: { problems: errors },
    ...(only && first.hint !== undefined ? { hint: first.hint } : {}),
  });
}
