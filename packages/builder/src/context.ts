/**
 * What the steps of a build share: the configuration, the folders, and what earlier steps found out.
 * @module
 */
import type { ImageConfig, SettingValue } from "@imgtool/config";
import type { Progress } from "@imgtool/core";
import type { Distribution, InstalledPackage, Repository, ScriptTools } from "@imgtool/distro";
import type { SandboxOptions } from "@imgtool/sandbox";
import type { UnfinishedDisk } from "@imgtool/disk";
import type { Fingerprints } from "./incremental/fingerprints.ts";
import type { GrubImages } from "./boot/grub.ts";
import type { BootPlan } from "./boot/plan.ts";
import type { LockedImage } from "./lock-file.ts";
import type { Artifact } from "./record.ts";

export interface BuildContext {
  readonly config: ImageConfig;
  readonly distribution: Distribution;
  /** The settings of the image in the form of its summary, where the caller has them. */
  readonly settings: Readonly<Record<string, SettingValue>> | undefined;
  /** The image's tree. */
  readonly tree: string;
  /** Scratch folder, gone after the build. */
  readonly workspace: string;
  /** Finished outputs, on the file system of the output directory, until they all are moved there. */
  readonly staging: string;
  readonly progress: Progress;
  /** Warnings about partition definitions that were given before the build. */
  readonly toldWarnings: Set<string>;
  readonly signal: AbortSignal | undefined;
  /** As SandboxOptions has it, for the project's scripts. */
  readonly onScriptFailure: SandboxOptions["onFailure"];
  /** Whether scripts are told to say more. */
  readonly debug: boolean;
  /** The very packages that the image is made of, where they are locked. */
  readonly locked: LockedImage | undefined;
  /** What scripts beside the tree change its packages with; made when the first one asks. */
  readonly scriptTools: () => Promise<ScriptTools | undefined>;
  /** The whole pipeline, for an image that goes into this one. */
  readonly buildImage: (config: ImageConfig, locked: LockedImage | undefined) => Promise<unknown>;
  /** How the image boots; undefined as long as that is not known, and for an image that does not. */
  boot: BootPlan | undefined;
  /** Path of the stub of Format=addon, on this machine. */
  addonStub: string | undefined;
  /** What a BIOS starts, as far as that is made. */
  grub: GrubImages | undefined;
  /** Paths of the initrds, on this machine. */
  initrds: readonly string[];
  /** Path of the newest kernel's unified kernel image in the tree, on this machine. */
  unified: string | undefined;
  /** The disk between its first partition and its last. */
  disk: UnfinishedDisk | undefined;
  /** The initrds with the kernels' modules, by the kernels' versions: paths on this machine. */
  readonly packedModules: Map<string, Promise<string>>;
  packages: readonly InstalledPackage[];
  repositories: readonly Repository[];
  /** Bills of materials, taken while the tree had all that they tell. */
  readonly bills: { readonly form: "spdx" | "cyclonedx"; readonly text: string }[];
  readonly artifacts: Artifact[];
  /** Asked for once in a build. */
  fingerprints: Promise<Fingerprints | undefined> | undefined;
}
