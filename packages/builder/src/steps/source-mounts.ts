/**
 * The build sources at /work/src: the folders themselves, or layers over them where something is not shown or
 * what scripts write is thrown away.
 *
 * What is hidden has an overlayfs whiteout in the upper layer, so that it is absent: a build in the source folder meets
 * neither objects of another build nor places that it cannot write to. What scripts write goes to that
 * layer, stays for the later scripts of the build, and is written back to the folder after each point.
 * @module
 */
import { constants, lstatSync, type BigIntStats } from "node:fs";
import { mkdir, realpath } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { AT_FDCWD, mknodat, pathExists } from "@imgtool/host";
import type { Bind, Overlay } from "@imgtool/sandbox";
import { copyMetadata } from "../copy-tree.ts";
import { ignoredPaths, isWithin } from "../git-files.ts";
import { changeTime, writeBack } from "../write-back.ts";
import { emptyFolder, makeOverlay } from "./overlays.ts";
import type { ScriptRun } from "./scripts.ts";
import type { ScriptPoint } from "./script-points.ts";

export interface SourceMounts {
  readonly binds: readonly Bind[];
  readonly overlays: readonly Overlay[];
  /** To be called when the scripts have ended, however: gives the folders what was written to them. */
  readonly finish: () => Promise<void>;
}

/** Layers over a folder for the scripts of one build. */
interface Layers {
  readonly hidden: ReadonlySet<string>;
  readonly overlay: Overlay;
  /** Nanoseconds since 1970: what changed up to then has been written back. */
  writtenBack: bigint;
}

/** Of a build by its configuration: later scripts see what earlier ones wrote. */
const kept = new WeakMap<ImageConfig, { readonly workspace: string; readonly layers: Map<string, Layers> }>();

/** The mounts for the scripts of a point. @throws what ignoredPaths throws */
export async function sourceMounts(run: ScriptRun, point: ScriptPoint): Promise<SourceMounts> {
  const { config, workspace } = run;
  const binds: Bind[] = [];
  const overlays: Overlay[] = [];
  const written: [string, Layers][] = [];
  const sources = [...config.buildSources].sort((a, b) => (a.target < b.target ? -1 : 1));
  const hides = point.sources === "checkout" && config.useGitFiles;
  if (sources[0]?.target !== "/")
    binds.push({ source: await emptyFolder(workspace, "sources"), target: "/work/src", writable: true });
  for (const [index, { source: named, target }] of sources.entries()) {
    // Layers have the modes of folders, not of links to them.
    const source = await realpath(named);
    const place = `/work/src${target === "/" ? "" : target}`;
    const name = `source-${index}`;
    if (config.buildSourcesEphemeral) {
      const hidden = hides ? await hiddenPaths(run, source) : new Set<string>();
      const overlay = await layerOver(run, source, name, hidden);
      overlays.push(overlay);
      binds.push({ source: overlay.target, target: place, writable: true });
      continue;
    }
    const layers = hides ? await layersOf(run, source, name) : undefined;
    if (layers === undefined) {
      binds.push({ source, target: place, writable: true });
      continue;
    }
    overlays.push(layers.overlay);
    binds.push({ source: layers.overlay.target, target: place, writable: true });
    // Its user may work with git meanwhile.
    if (await pathExists(join(source, ".git")))
      binds.push({ source: join(source, ".git"), target: `${place}/.git`, writable: true });
    written.push([source, layers]);
  }
  const finish = async (): Promise<void> => {
    for (const [source, layers] of written) {
      const until = await changeTime(workspace);
      const isHidden = isWithin(layers.hidden);
      writeBack(layers.overlay.upper, source, { isHidden, since: layers.writtenBack });
      layers.writtenBack = until;
    }
  };
  return { binds, overlays, finish };
}

/** The layers over a folder, undefined where nothing in it is hidden. */
async function layersOf(run: ScriptRun, source: string, name: string): Promise<Layers | undefined> {
  const { config, workspace } = run;
  let build = kept.get(config);
  if (build?.workspace !== workspace) kept.set(config, (build = { workspace, layers: new Map() }));
  const known = build.layers.get(name);
  if (known !== undefined) return known;
  const hidden = await hiddenPaths(run, source);
  if (hidden.size === 0) return undefined;
  const overlay = await layerOver(run, source, name, hidden);
  const layers = { hidden, overlay, writtenBack: await changeTime(workspace) };
  build.layers.set(name, layers);
  return layers;
}

async function hiddenPaths({ progress, signal }: ScriptRun, source: string): Promise<ReadonlySet<string>> {
  const ignored = await ignoredPaths(source, signal);
  if (ignored.length > 0)
    progress.log(
      "debug",
      `scripts do not see what git ignores in ${source}: ${ignored.join(", ")} (UseGitFiles=no shows it)`,
    );
  return new Set(ignored);
}

/** A layer over the source that hides paths, and the build's own scratch folder: layers cannot hold themselves. */
async function layerOver(
  { config, workspace }: ScriptRun,
  source: string,
  name: string,
  hidden: ReadonlySet<string>,
): Promise<Overlay> {
  const overlay = await makeOverlay(workspace, name, [source]);
  const { upper } = overlay;
  const scratch = await realpath(workspace);
  // Of a build it is in a folder with the tree and the outputs.
  const isBuild = basename(dirname(scratch)).startsWith(`.${config.output}.build-`);
  const own = relative(source, isBuild ? dirname(scratch) : scratch);
  const isInside = !own.startsWith("..") && !isWithin(hidden)(own);
  copyMetadata(Buffer.from(source), Buffer.from(upper), statusOf(source), "kept");
  const isBelowOwn = isWithin(new Set([own]));
  for (const path of isInside ? [...[...hidden].filter((one) => !isBelowOwn(one)), own] : hidden) {
    await copyFolders(source, upper, dirname(path));
    // A character device 0:0 is a whiteout (overlayfs, "whiteouts and opaque directories").
    mknodat(AT_FDCWD, join(upper, path), constants.S_IFCHR, 0, 0);
  }
  return overlay;
}

/** Makes the folders to a path as the source has them: a layer's folder hides the attributes of the one below. */
async function copyFolders(source: string, layer: string, path: string): Promise<void> {
  if (path === "." || (await pathExists(join(layer, path)))) return;
  await copyFolders(source, layer, dirname(path));
  const [from, to] = [join(source, path), join(layer, path)];
  await mkdir(to);
  copyMetadata(Buffer.from(from), Buffer.from(to), statusOf(from), "kept");
}

function statusOf(path: string): BigIntStats {
  return lstatSync(path, { bigint: true });
}
