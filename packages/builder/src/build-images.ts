/**
 * Builds the images of a project: each after those that it depends on, independent ones at the same time.
 * @module
 */
import type { ImageConfig, SettingValue } from "@imgtool/config";
import { NotFoundError, type Progress, silentProgress, throwIfAborted } from "@imgtool/core";
import { build, type BuildOptions } from "./build.ts";
import { buildRecordPath } from "./outputs.ts";
import { type BuildRecord, configDigest, inputDigests, readBuildRecord } from "./record.ts";

/** One image of a project. */
export interface ProjectImage {
  /** Undefined for the main image. */
  readonly name: string | undefined;
  readonly config: ImageConfig;
  readonly settings?: Readonly<Record<string, SettingValue>> | undefined;
  /** Names of the images that it is built upon. */
  readonly dependencies: readonly string[];
}

export interface BuildImagesOptions {
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
  /**
   * Replaces outputs of an earlier build. Default false: sub-images that are there, of an unchanged
   * configuration and upon unchanged images, are taken as they are.
   */
  readonly force?: boolean;
  /** As BuildOptions has it. */
  readonly onScriptFailure?: BuildOptions["onScriptFailure"];
  /** As BuildOptions has it. */
  readonly debug?: boolean;
}

/**
 * Images built at the same time: package managers and file system tools take a processor each, and trees
 * of several images at once fill disks.
 */
const imagesAtOnce = 2;

/**
 * Builds all images; the main image is the last of them.
 * @returns the record of the main image
 * @throws as build(), once what was under way has ended: the first failure stops the other builds
 */
export async function buildImages(
  images: readonly ProjectImage[],
  options: BuildImagesOptions = {},
): Promise<BuildRecord> {
  const { signal, force = false } = options;
  const progress = options.progress ?? silentProgress;
  const controller = new AbortController();
  const stop = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
  const failures: unknown[] = [];
  const waiting = new Set(images);
  const built = new Set<string | undefined>();
  /** Images that are not what they were before this run. */
  const made = new Set<string | undefined>();
  const underWay = new Set<Promise<void>>();
  let main: BuildRecord | undefined;

  const buildOne = async (image: ProjectImage): Promise<void> => {
    const { name, config, settings } = image;
    try {
      const state = name === undefined || force ? "build" : await stateOf(config);
      const isUponNew = image.dependencies.some((one) => made.has(one));
      if (state === "as it is" && !isUponNew) {
        progress.log("info", `image ${name ?? ""} is there already; --force builds it anew`);
      } else {
        made.add(name);
        const replaces = force || state !== "build";
        if (state !== "build") {
          const why =
            state === "changed" ? "its configuration, a script or the newest of its files" : "what it is built upon";
          progress.log("info", `image ${name ?? ""} is built anew: ${why} has changed`);
        }
        const shown = name === undefined ? progress : namedProgress(progress, name);
        const record = await build(config, {
          progress: shown,
          signal: stop,
          force: replaces,
          onScriptFailure: options.onScriptFailure,
          debug: options.debug ?? false,
          ...(settings === undefined ? {} : { settings }),
        });
        if (name === undefined) main = record;
      }
      built.add(name);
    } catch (error) {
      failures.push(error);
      controller.abort();
    }
  };

  while (waiting.size + underWay.size > 0) {
    for (const image of waiting) {
      const isReady = image.dependencies.every((name) => built.has(name));
      if (!isReady || underWay.size >= imagesAtOnce || stop.aborted) continue;
      waiting.delete(image);
      const building = buildOne(image).finally(() => underWay.delete(building));
      underWay.add(building);
    }
    if (underWay.size === 0) break;
    await Promise.race(underWay);
  }
  throwIfAborted(signal);
  if (failures.length > 0) throw failures[0];
  if (main === undefined) throw new RangeError("an image depends on one that is not in the project");
  return main;
}

/**
 * Whether an earlier build has made a sub-image, of the configuration and scripts of now. The time of its
 * newest file is part of the configuration, unless SourceDateEpoch= fixes that.
 */
async function stateOf(config: ImageConfig): Promise<"build" | "as it is" | "changed"> {
  try {
    const { inputs } = await readBuildRecord(buildRecordPath(config));
    const files = JSON.stringify(await inputDigests(config));
    return inputs.config === configDigest(config) && JSON.stringify(inputs.files) === files ? "as it is" : "changed";
  } catch (error) {
    if (error instanceof NotFoundError) return "build";
    throw error;
  }
}

/** Steps of an image under its name. */
function namedProgress(progress: Progress, name: string): Progress {
  return {
    start: (options) => progress.start({ ...options, label: `${name}: ${options.label}` }),
    log: (level, message, hint) => progress.log(level, `${name}: ${message}`, hint),
  };
}
