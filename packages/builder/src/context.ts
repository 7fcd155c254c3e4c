/**
 * What the steps of a build share: the configuration, the folders, and what earlier steps found out.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import type { Progress } from "@imgtool/core";
import type { Distribution, InstalledPackage, Repository } from "@imgtool/distro";
import type { Artifact } from "./record.ts";

export interface BuildContext {
  readonly config: ImageConfig;
  readonly distribution: Distribution;
  /** The image's tree. */
  readonly tree: string;
  /** Scratch folder, gone after the build. */
  readonly workspace: string;
  /** Finished outputs, on the file system of the output directory, until they all are moved there. */
  readonly staging: string;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
  packages: readonly InstalledPackage[];
  repositories: readonly Repository[];
  readonly artifacts: Artifact[];
}
