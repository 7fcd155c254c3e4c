/**
 * Runs a project's scripts with the environment and the mounts that mkosi gives them.
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ImageConfig, SettingValue } from "@imgtool/config";
import type { Progress } from "@imgtool/core";
import type { Distribution, ScriptTools } from "@imgtool/distro";
import { buildroot, runInSandbox, type Bind, type Overlay, type SandboxOptions } from "@imgtool/sandbox";
import { proxyVariables } from "../proxy.ts";
import { emptyFolder } from "./overlays.ts";
import { scriptPoint, type ScriptPoint, type ScriptPointName } from "./script-points.ts";
import { sourceMounts } from "./source-mounts.ts";

export interface ScriptRun {
  readonly config: ImageConfig;
  readonly distribution: Distribution;
  /** The settings of the image in the form of its summary, for $MKOSI_CONFIG. */
  readonly settings: Readonly<Record<string, SettingValue>> | undefined;
  /** Scratch folder. */
  readonly workspace: string;
  /** The image's tree; points that have none need none. */
  readonly tree?: string;
  /** Where the outputs are that scripts see. */
  readonly staging: string;
  /** As BuildContext has it. Default: scripts cannot change the packages. */
  readonly scriptTools?: () => Promise<ScriptTools | undefined>;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
  readonly onScriptFailure?: SandboxOptions["onFailure"];
  /** $MKOSI_DEBUG. Default false. */
  readonly debug?: boolean | undefined;
}

export interface RunScriptsOptions {
  /** In place of the point's own words. */
  readonly args?: readonly string[];
  /** Mounted for each script anew; the run's `tree` may be one of them. */
  readonly overlays?: readonly Overlay[];
  /** Folder of this machine that $DESTDIR is. */
  readonly destination?: string;
  /** Whether there is a cached tree of these settings: $CACHED. Default false. */
  readonly cached?: boolean;
}

/**
 * Runs the scripts of a point in order.
 * @throws what runInSandbox throws
 */
export async function runScripts(
  name: ScriptPointName,
  run: ScriptRun,
  options: RunScriptsOptions = {},
): Promise<void> {
  const point = scriptPoint(name);
  const { config, progress, signal } = run;
  const scripts = point.scripts(config);
  if (scripts.length === 0) return;
  const sources = await sourceMounts(run, point);
  const binds = [...sources.binds, ...(await pointMounts(point, run, options))];
  const areBeside = point.tree && scripts.some((script) => !isInside(script, point, config));
  const tools = areBeside ? await run.scriptTools?.() : undefined;
  try {
    for (const script of scripts) {
      const inside = point.tree && isInside(script, point, config);
      using task = progress.start({ label: `run ${basename(script)}` });
      await runInSandbox({
        script,
        scriptName: point.file,
        args: options.args ?? point.args,
        tree: point.tree ? run.tree : undefined,
        inside,
        network: point.network === "always" || (point.network === "setting" && config.withNetwork),
        workdir: "/work/src",
        searchPaths: config.extraSearchPaths,
        env: scriptEnvironment(point, run, options, inside),
        binds: inside || tools === undefined ? binds : [...binds, ...tools.mounts],
        ...(tools === undefined ? {} : { helpers: tools.programs }),
        overlays: [...(options.overlays ?? []), ...sources.overlays],
        signal,
        ...failureOptions(point, run),
        onOutputLine: (line) => {
          task.detail(line);
          progress.log("debug", `${basename(script)}: ${line}`);
        },
      });
      task.done();
    }
  } finally {
    await sources.finish();
  }
  await tools?.keep();
}

/** Whoever has the shell needs no hint at it, and `imgtool clean`, which has none, runs scripts too. */
function failureOptions(
  { name }: ScriptPoint,
  { onScriptFailure }: ScriptRun,
): Pick<SandboxOptions, "onFailure" | "failureHint"> {
  if (onScriptFailure !== undefined) return { onFailure: onScriptFailure };
  return name === "clean" ? {} : { failureHint: "imgtool build --debug-shell opens a shell where the script failed" };
}

/** The points whose scripts mkosi up to 14 started in the image itself. */
const firstInside: ReadonlySet<ScriptPointName> = new Set(["prepare", "build", "postinst"]);

function isInside(script: string, { name }: ScriptPoint, { scriptsOfFirstMkosi }: ImageConfig): boolean {
  return script.endsWith(".chroot") || (scriptsOfFirstMkosi && firstInside.has(name));
}

async function pointMounts(point: ScriptPoint, run: ScriptRun, options: RunScriptsOptions): Promise<Bind[]> {
  const { config, settings, workspace, staging } = run;
  const binds: Bind[] = [];
  if (settings !== undefined) {
    const file = join(workspace, "config.json");
    await writeFile(file, `${JSON.stringify(settings, undefined, 4)}\n`, { mode: 0o600 });
    binds.push({ source: file, target: "/work/config.json" });
  }
  if (point.outputs) binds.push({ source: staging, target: "/work/out", writable: true });
  if (point.tree) {
    const artifacts = await emptyFolder(workspace, "artifacts");
    binds.push({ source: artifacts, target: "/work/artifacts", writable: true });
    binds.push({ source: await packageFolder(workspace), target: "/work/packages", writable: true });
  }
  if (point.builds !== "no" && config.buildDirectory !== undefined) {
    const source = buildFolder(config);
    await mkdir(source, { recursive: true });
    binds.push({ source, target: "/work/build", writable: point.builds === "writes" });
  }
  if (options.destination !== undefined)
    binds.push({ source: options.destination, target: "/work/dest", writable: true });
  return binds;
}

/** Where scripts put packages that VolatilePackages= can name. */
export async function packageFolder(workspace: string): Promise<string> {
  return await emptyFolder(workspace, "own-packages");
}

/** Objects of one distribution are of no use to another. */
function buildFolder({ buildDirectory = "", distribution, release, architecture }: ImageConfig): string {
  return join(buildDirectory, `${distribution}~${release}~${architecture}`);
}

/** The variables that a script may rely on; those of Environment= come first, and cannot change them. */
function scriptEnvironment(
  point: ScriptPoint,
  { config, distribution, settings, debug }: ScriptRun,
  { destination, cached }: RunScriptsOptions,
  inside: boolean,
): Record<string, string> {
  const script = `/work/${point.file}`;
  const flags = {
    CACHED: cached === true ? "1" : "0",
    WITH_DOCS: config.withDocs ? "1" : "0",
    WITH_NETWORK: config.withNetwork ? "1" : "0",
    WITH_TESTS: config.withTests ? "1" : "0",
  };
  const builds = point.builds !== "no" && config.buildDirectory !== undefined;
  return {
    ...proxyVariables(config),
    ...config.environment,
    ARCHITECTURE: config.architecture,
    DISTRIBUTION: config.distribution,
    DISTRIBUTION_ARCHITECTURE: distribution.architectureName?.(config.architecture) ?? config.architecture,
    RELEASE: config.release,
    ...(config.profiles.length === 0 ? {} : { PROFILES: config.profiles.join(" ") }),
    ...(config.imageId === undefined ? {} : { IMAGE_ID: config.imageId }),
    ...(config.imageVersion === undefined ? {} : { IMAGE_VERSION: config.imageVersion }),
    ...(settings === undefined ? {} : { MKOSI_CONFIG: "/work/config.json" }),
    MKOSI_UID: String(process.getuid?.() ?? 0),
    MKOSI_GID: String(process.getgid?.() ?? 0),
    MKOSI_DEBUG: debug === true ? "1" : "0",
    SOURCE_DATE_EPOCH: String(config.sourceDateEpoch),
    SRCDIR: "/work/src",
    ...(point.outputs ? { OUTPUTDIR: "/work/out" } : {}),
    ...(builds ? { BUILDDIR: "/work/build" } : {}),
    ...(destination === undefined ? {} : { DESTDIR: "/work/dest", CHROOT_DESTDIR: "/work/dest" }),
    ...Object.fromEntries(point.variables.map((name) => [name, flags[name]])),
    ...(point.tree
      ? {
          BUILDROOT: inside ? "/" : buildroot,
          ARTIFACTDIR: "/work/artifacts",
          PACKAGEDIR: "/work/packages",
          SCRIPT: script,
          CHROOT_SCRIPT: script,
          CHROOT_SRCDIR: "/work/src",
          ...(point.outputs ? { CHROOT_OUTPUTDIR: "/work/out" } : {}),
          ...(builds && point.builds === "writes" ? { CHROOT_BUILDDIR: "/work/build" } : {}),
          // The checkout belongs to another user than the script runs as.
          GIT_CONFIG_COUNT: "1",
          GIT_CONFIG_KEY_0: "safe.directory",
          GIT_CONFIG_VALUE_0: "*",
        }
      : {}),
  };
}
