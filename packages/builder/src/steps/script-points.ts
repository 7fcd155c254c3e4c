/**
 * The points at which a project's scripts run, and what each of them gets: as mkosi 25.3 has it.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";

export type ScriptPointName = "clean" | "sync" | "prepare" | "build" | "postinst" | "finalize" | "postoutput";

export interface ScriptPoint {
  readonly name: ScriptPointName;
  readonly scripts: (config: ImageConfig) => readonly string[];
  /** Setting that names the scripts. */
  readonly setting: string;
  /** Name of the script in /work. */
  readonly file: string;
  /** Words after the script's name. */
  readonly args: readonly string[];
  /** "always", or as WithNetwork= says, or never. */
  readonly network: "always" | "setting" | "never";
  /** Gets the image's tree, the artifacts, and the helpers that act on the tree. */
  readonly tree: boolean;
  /** Gets the outputs, at $OUTPUTDIR. */
  readonly outputs: boolean;
  /** Gets the build folder, at $BUILDDIR; only the build itself writes to it. */
  readonly builds: "no" | "reads" | "writes";
  /**
   * "checkout": of a git checkout, what git does not ignore (UseGitFiles=). Scripts that fetch the sources, or clean
   * them, see all.
   */
  readonly sources: "all" | "checkout";
  /** Further variables. */
  readonly variables: readonly ("CACHED" | "WITH_DOCS" | "WITH_NETWORK" | "WITH_TESTS")[];
}

const points = {
  clean: {
    scripts: (config) => config.cleanScripts,
    setting: "CleanScripts",
    file: "clean",
    args: [],
    network: "never",
    tree: false,
    outputs: true,
    builds: "no",
    sources: "all",
    variables: [],
  },
  sync: {
    scripts: (config) => config.syncScripts,
    setting: "SyncScripts",
    file: "sync",
    args: ["final"],
    network: "always",
    tree: false,
    outputs: false,
    builds: "no",
    sources: "all",
    variables: ["CACHED"],
  },
  prepare: {
    scripts: (config) => config.prepareScripts,
    setting: "PrepareScripts",
    file: "prepare",
    args: ["final"],
    network: "always",
    tree: true,
    outputs: false,
    builds: "no",
    sources: "checkout",
    variables: ["WITH_DOCS", "WITH_NETWORK", "WITH_TESTS"],
  },
  build: {
    scripts: (config) => config.buildScripts,
    setting: "BuildScripts",
    file: "build-script",
    args: [],
    network: "setting",
    tree: true,
    outputs: false,
    builds: "writes",
    sources: "checkout",
    variables: ["WITH_DOCS", "WITH_NETWORK", "WITH_TESTS"],
  },
  postinst: {
    scripts: (config) => config.postInstallationScripts,
    setting: "PostInstallationScripts",
    file: "postinst",
    args: ["final"],
    network: "setting",
    tree: true,
    outputs: true,
    builds: "reads",
    sources: "checkout",
    variables: ["WITH_NETWORK"],
  },
  finalize: {
    scripts: (config) => config.finalizeScripts,
    setting: "FinalizeScripts",
    file: "finalize",
    args: [],
    network: "setting",
    tree: true,
    outputs: true,
    builds: "reads",
    sources: "checkout",
    variables: ["WITH_NETWORK"],
  },
  postoutput: {
    scripts: (config) => config.postOutputScripts,
    setting: "PostOutputScripts",
    file: "postoutput",
    args: [],
    network: "never",
    tree: false,
    outputs: true,
    builds: "no",
    sources: "checkout",
    variables: [],
  },
} as const satisfies Readonly<Record<ScriptPointName, Omit<ScriptPoint, "name">>>;

type ScriptSettings = Pick<ImageConfig, Extract<keyof ImageConfig, `${string}Scripts`>>;

/** For images that a build makes for itself: the project's scripts are for its own image. */
export const noScripts: ScriptSettings = {
  configureScripts: [],
  cleanScripts: [],
  syncScripts: [],
  prepareScripts: [],
  buildScripts: [],
  postInstallationScripts: [],
  finalizeScripts: [],
  postOutputScripts: [],
};

/** The point of this name. */
export function scriptPoint(name: ScriptPointName): ScriptPoint {
  return { name, ...points[name] };
}

/** Every script of a project with the setting that names it, in the order in which they run. */
export function allScripts(config: ImageConfig): { readonly path: string; readonly setting: string }[] {
  return Object.values(points).flatMap(({ scripts, setting }) => scripts(config).map((path) => ({ path, setting })));
}
