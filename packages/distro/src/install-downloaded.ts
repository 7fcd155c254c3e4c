/**
 * The part of an installation that package managers with a root of their own have in common.
 * @module
 */
import type { Progress } from "@imgtool/core";
import type { RunPackages } from "./package-run.ts";

/** What a package manager said of its downloads. */
export interface Downloaded {
  /** Packages, and bytes, that were not in the cache. */
  readonly files: number;
  readonly bytes: number;
  /** Packages of the installation. */
  readonly count: number;
}

export interface InstallDownloadedOptions {
  readonly run: RunPackages;
  /** Arguments before the names of packages. */
  readonly install: readonly string[];
  /** Whose packages bring the root's folders and links. */
  readonly base: readonly string[];
  readonly packages: readonly string[];
  /** Finds the name of the package that a line of output begins to install. */
  readonly installing: RegExp;
  readonly count: number;
  readonly progress: Progress;
}

/** Installs what was downloaded, the base first. @throws as Distribution.install does */
export async function installDownloaded(options: InstallDownloadedOptions): Promise<void> {
  const { run, install, base, packages, installing, count, progress } = options;
  using task = progress.start({ label: "install packages", total: count });
  const onLine = (line: string): void => {
    const name = installing.exec(line)?.[1];
    if (name === undefined) return;
    task.advance(1);
    task.detail(name);
  };
  const common = { doing: "install packages", offline: true, onLine };
  // The root's folders come without mounts on them: a package sets their modes, and could not see them below.
  if (base.length > 0) await run({ ...common, args: [...install, ...base], mounted: false });
  if (packages.length > 0) await run({ ...common, args: [...install, ...packages], mounted: true });
  task.done(`${count} packages`);
}
