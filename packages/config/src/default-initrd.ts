/**
 * What the initrd is made of that an image gets where its project names none: Include=mkosi-initrd, for the image's
 * own distribution, read by the rules that every project is read by.
 * @module
 */
import type { ConfigFiles } from "./files.ts";
import type { ImageConfig } from "./image-config.ts";
import type { SettingValue } from "./kind.ts";
import { valueOf } from "./merge.ts";
import { ProblemList } from "./problem.ts";
import { readBuiltin } from "./read.ts";
import { newState } from "./state.ts";

/** Packages and files of a default initrd, as the settings of these names have them. */
export interface DefaultInitrd {
  readonly packages: readonly string[];
  readonly removePackages: readonly string[];
  readonly removeFiles: readonly string[];
}

/** No condition asks for a file. */
const noFiles: ConfigFiles = { readText: () => undefined, list: () => undefined, status: () => undefined };

/** The default initrd of an image. */
export function defaultInitrd(
  image: Pick<ImageConfig, "distribution" | "release" | "architecture" | "repositories">,
): DefaultInitrd {
  const { distribution, release, architecture, repositories } = image;
  const state = newState({
    files: noFiles,
    host: { distribution: undefined, release: undefined, architecture },
    environment: {},
    directory: "/",
    problems: new ProblemList(),
    image: undefined,
  });
  const known: Readonly<Record<string, SettingValue>> = {
    Distribution: distribution,
    Release: release,
    Architecture: architecture,
    Repositories: repositories,
  };
  for (const [name, value] of Object.entries(known)) state.commandLine.set(name, { value, origins: [] });
  readBuiltin("mkosi-initrd", state, 0);
  const list = (name: string): string[] => {
    const value = valueOf(name, state);
    return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
  };
  return { packages: list("Packages"), removePackages: list("RemovePackages"), removeFiles: list("RemoveFiles") };
}
