/**
 * Resolves a project: from a directory, the command line and the machine to one ImageConfig, with
 * every problem at once.
 * @module
 */
import type { ConfigFiles } from "./files.ts";
import { configurationRoot } from "./first-project.ts";
import type { ImageConfig } from "./image-config.ts";
import { advise } from "./advice.ts";
import { imageConfig } from "./image.ts";
import type { SettingValue } from "./kind.ts";
import { assignConfigured, type ConfiguredImage } from "./configured.ts";
import { effective, settingHint, valueOf } from "./merge.ts";
import { normalizePath } from "./paths.ts";
import { cacheStoreOf, publishConfig, readOwnConfig, type PublishConfig } from "./own-config.ts";
import { ProblemList } from "./problem.ts";
import type { Origin, Problem } from "./problem.ts";
import { readDirectory, readIncludes, readOption } from "./read.ts";
import { runtimeConfig } from "./runtime-config.ts";
import type { RuntimeConfig } from "./runtime-config.ts";
import type { HostFacts, SectionName, SettingDefinition } from "./setting.ts";
import { formatName } from "./settings/output.ts";
import { findSetting, settings } from "./settings.ts";
import { newState, type State } from "./state.ts";
import { readSubImages } from "./sub-images.ts";

/** One option of the command line. */
export interface CommandLineItem {
  /** Name of the setting: "Packages". */
  readonly setting: string;
  /** Its argument; the empty text resets the setting. */
  readonly value: string;
  /** As it was typed, for messages: "--package". */
  readonly option: string;
}

export interface ResolveOptions {
  /** The project directory, absolute. */
  readonly directory: string;
  readonly files: ConfigFiles;
  readonly commandLine?: readonly CommandLineItem[];
  readonly host: HostFacts;
  /** Environment variables of the invoking user. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Used where nothing sets SourceDateEpoch=, such as the time of the last commit; in seconds. */
  readonly defaultSourceDateEpoch?: number;
  /** What the configure scripts of its images have made of an earlier resolution. */
  readonly configured?: readonly ConfiguredImage[];
}

/** A setting with its final value. */
export interface ResolvedSetting {
  readonly name: string;
  readonly section: SectionName;
  /** In the form of `mkosi --json summary`. */
  readonly value: SettingValue;
  /** Where it was written: one for a scalar, one for each item of a collection, none for a default. */
  readonly origins: readonly Origin[];
  readonly isDefault: boolean;
  readonly supported: boolean;
}

/** One image of a project. */
export interface ResolvedImage {
  /** Name of the sub-image, undefined for the main image. */
  readonly image: string | undefined;
  /** The complete configuration; undefined when the project has errors. */
  readonly config: ImageConfig | undefined;
  /** How the image is run after the build. */
  readonly runtime: RuntimeConfig;
  /** Names of the sub-images that it is built upon, from Dependencies=. */
  readonly dependencies: readonly string[];
  /** Every setting, in the order of the table. */
  readonly values: readonly ResolvedSetting[];
  /** Configuration files that were read, in order. */
  readonly files: readonly string[];
}

/** The main image, with its sub-images and the problems of all of them. */
export interface Resolution extends ResolvedImage {
  /** The sub-images that the main image depends on, each after those that it depends on itself. */
  readonly subImages: readonly ResolvedImage[];
  /** From imgtool.conf. */
  readonly publish: PublishConfig;
  readonly warnings: readonly Problem[];
  readonly errors: readonly Problem[];
}

/** Reads a project. Never throws for what the project or the command line contain. */
export function resolveConfig(options: ResolveOptions): Resolution {
  const { files } = options;
  const directory = normalizePath(options.directory);
  const problems = new ProblemList();
  const state = newState({
    files,
    host: options.host,
    environment: options.environment ?? {},
    directory,
    problems,
    image: undefined,
  });
  for (const item of options.commandLine ?? []) {
    const setting = findSetting(item.setting);
    const hint = settingHint(item.setting);
    if (setting !== undefined) readOption(setting, item.value, item.option, state);
    else
      problems.error({
        option: item.option,
        code: "setting-unknown",
        message: `unknown setting ${item.setting}=`,
        ...(hint === undefined ? {} : { hint }),
      });
  }
  readIncludes(directory, state, 0);
  let subImages: State[] = [];
  if (files.status(directory)?.kind !== "directory")
    problems.error({
      file: directory,
      code: "directory-missing",
      message: "not a directory",
      hint: "name the project's directory with --directory",
    });
  else subImages = readProject(state);

  for (const changed of options.configured ?? []) {
    const image = [...subImages, state].find((one) => one.image === changed.image);
    if (image !== undefined) assignConfigured(changed, image);
  }
  const own = readOwnConfig(configurationRoot(files, state.directory), state);
  const images = [...subImages, state].map((image) => ({
    state: image,
    config: { ...imageConfig(image, options.defaultSourceDateEpoch), cacheStore: cacheStoreOf(own) },
  }));
  refuseEqualOutputs(images, problems);
  for (const image of images) advise(image.state);
  const finished = images.map((image): ResolvedImage => ({
    image: image.state.image,
    config: problems.errors.length > 0 ? undefined : deepFreeze(image.config),
    runtime: deepFreeze(runtimeConfig(image.state)),
    dependencies: dependenciesOf(image.state),
    values: settings.map((setting) => resolved(setting, image.state)),
    files: [...image.state.read],
  }));
  const main = finished.pop();
  if (main === undefined) throw new RangeError("a project has a main image");
  return {
    ...main,
    subImages: finished,
    publish: publishConfig(own),
    warnings: problems.warnings,
    errors: problems.errors,
  };
}

/** Reads the main image; returns its sub-images. */
function readProject(state: State): State[] {
  const { problems, files } = state;
  const root = configurationRoot(files, state.directory);
  const matched = readDirectory(root, state, { profiles: true, local: true, depth: 0 });
  if (!matched)
    problems.error({
      file: `${root}/mkosi.conf`,
      code: "project-unmatched",
      message: "its [Match] does not hold here, so that there is nothing to build",
    });
  else if (state.read.length === 0)
    problems.warn({
      code: "config-missing",
      message: `no mkosi.conf in ${root}`,
      hint: "write one, or name the project with --directory",
    });
  if (!matched || files.list(`${root}/mkosi.images`) === undefined) return [];
  return readSubImages(root, state);
}

function dependenciesOf(state: State): string[] {
  const names = valueOf("Dependencies", state);
  return Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
}

/** What one image of a project makes, another must not overwrite. */
function refuseEqualOutputs(
  images: readonly { readonly state: State; readonly config: ImageConfig }[],
  problems: ProblemList,
): void {
  const seen = new Map<string, string>();
  for (const { state, config } of images) {
    const name = state.image === undefined ? "the main image" : `image ${state.image}`;
    const path = `${config.outputDirectory}/${config.output}`;
    const other = seen.get(path);
    if (other !== undefined)
      problems.error({
        code: "output-twice",
        message: `${other} and ${name} have the same output, ${path}`,
        hint: "give one of them another Output=",
      });
    seen.set(path, name);
  }
}

function resolved(setting: SettingDefinition, state: State): ResolvedSetting {
  const { value, origins, isDefault } = effective(setting, state);
  return {
    name: setting.name,
    section: setting.section,
    value: setting.name === "Format" ? formatName(value) : value,
    origins,
    isDefault,
    supported: setting.supported,
  };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const part of Object.values(value)) deepFreeze(part);
    Object.freeze(value);
  }
  return value;
}
