/**
 * The programs by which a project's scripts change the packages of the image that they run beside, under
 * the names that mkosi's scripts call.
 * @module
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { shellWord } from "@imgtool/host";
import type { InstallOptions, LockedPackage, ScriptTools } from "./distribution.ts";

/** Name of the file of ScriptProgramOptions.asked in a package manager's folder. */
export function askedFile(folder: string): string {
  return join(folder, "asked");
}

/** Where the package cache is mounted for these programs, and where package managers see it below the tree. */
export const scriptCache = "/var/cache/imgtool-packages";

export interface ScriptProgramOptions {
  /** The package manager. */
  readonly program: string;
  /** What all of its commands begin with. */
  readonly common: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where the tree is. */
  readonly mounted: string;
  /**
   * The command that reads the lists of the repositories, run once before the first that needs them where
   * there is a network; package managers that do so by themselves have none.
   */
  readonly refresh?: readonly string[];
  /** What is done in the place of `refresh` without a network. */
  readonly refreshOffline?: readonly string[];
  /** Words after `common` of a command without a network. */
  readonly offline?: readonly string[];
  /** Folders that the tree has meanwhile, by their path below it. */
  readonly binds?: Readonly<Record<string, string>>;
  /** File that the names of packages that are asked for are added to. */
  readonly asked: string;
  /** All packages that there may be: others are refused, and none is upgraded. Undefined where nothing is locked. */
  readonly locked?: readonly LockedPackage[] | undefined;
  readonly words: Readonly<Record<"install" | "upgrade" | "reinstall" | "remove", readonly string[]>>;
  /** Further programs that are run like the package manager, by name, with words of their own. */
  readonly others?: Readonly<Record<string, readonly string[]>>;
}

/** The scripts by name. */
export function scriptPrograms(options: ScriptProgramOptions): Record<string, string> {
  const { program, common, words, others = {}, offline = [], asked, locked } = options;
  const run = (
    name: string,
    before: readonly string[],
    after: readonly string[],
    needsLists: boolean,
    isAsking = false,
  ): string =>
    [
      "#!/bin/sh",
      "set -eu",
      ...Object.entries(options.env).map(([variable, value]) => `export ${variable}=${shellWord(value)}`),
      ...(isAsking && locked !== undefined ? [refusingOthers(locked)] : []),
      ...(isAsking
        ? [`for word in "$@"; do case "$word" in -*) ;; *) echo "$word" >>${shellWord(asked)};; esac; done`]
        : []),
      // More than the loopback device.
      'if [ "$(grep -c : /proc/net/dev)" -gt 1 ]; then network=yes; else network=; fi',
      ...(needsLists ? refreshing(options) : []),
      `set -- ${after.map(shellWord).join(" ")} "$@"`,
      ...(offline.length === 0 ? [] : [`[ -n "$network" ] || set -- ${offline.map(shellWord).join(" ")} "$@"`]),
      `set -- ${[`/usr/bin/${name}`, ...before].map(shellWord).join(" ")} "$@"`,
      // Scripts of packages find the kernel's file systems in the image.
      `exec unshare --mount --propagation slave sh -eu -c ${shellWord(mounting(options))} ${name} "$@"`,
      "",
    ].join("\n");
  return {
    "mkosi-install": run(program, common, words.install, true, true),
    "mkosi-upgrade": locked === undefined ? run(program, common, words.upgrade, true) : refusal,
    "mkosi-reinstall": run(program, common, words.reinstall, true),
    "mkosi-remove": run(program, common, words.remove, false),
    [program]: run(program, common, [], true),
    ...Object.fromEntries(Object.entries(others).map(([name, before]) => [name, run(name, before, [], false)])),
  };
}

/** A package manager whose scripts need its own folder and the package cache; see ScriptProgramOptions. */
export interface ScriptToolOptions extends Omit<ScriptProgramOptions, "asked" | "locked"> {
  /** Folder of the package manager's configuration, on this machine and for the scripts. */
  readonly folder: string;
  /** The package cache on this machine. */
  readonly cache: string;
  readonly install: InstallOptions;
}

/** What scripts get of a package manager that keeps nothing of theirs. */
export function scriptTools({ folder, cache, install, ...options }: ScriptToolOptions): ScriptTools {
  const asked = askedFile(folder);
  return {
    mounts: [
      { source: folder, target: folder, writable: true },
      { source: cache, target: scriptCache, writable: true },
      ...hostMounts(install),
    ],
    programs: scriptPrograms({ ...options, asked, locked: install.locked }),
    keep: async () => {},
    asked: async () => await readAsked(asked),
  };
}

/** The names in the file of `asked`. */
export async function readAsked(file: string): Promise<readonly string[]> {
  try {
    const names = (await readFile(file, "utf8")).split("\n").filter((name) => name !== "");
    return [...new Set(names)].sort();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}

const lockHint =
  "hint: name it in Packages=, or in BuildPackages= for build scripts alone, and lock anew with imgtool lock";

/** mkosi-upgrade of a locked image. */
const refusal = `#!/bin/sh
echo "mkosi-upgrade: the packages of this image are locked by imgtool.lock, and stay as they are" >&2
echo "hint: take them from now with imgtool lock" >&2
exit 1
`;

/** Ends the script at the first word that names no locked package; options and versions are the package manager's business. */
function refusingOthers(locked: readonly LockedPackage[]): string {
  const names = [...new Set(locked.map(({ name }) => shellWord(name)))].join("|");
  return [
    'for word in "$@"; do',
    '  case "$word" in -*) continue;; esac',
    '  case "${word%%[=/:]*}" in',
    ...(names === "" ? [] : [`    ${names}) ;;`]),
    `    *) printf '%s\\n' "mkosi-install: $word is not in imgtool.lock" ${shellWord(lockHint)} >&2; exit 1;;`,
    "  esac",
    "done",
  ].join("\n");
}

function refreshing({ program, common, refresh, refreshOffline }: ScriptProgramOptions): string[] {
  if (refresh === undefined) return [];
  const command = (words: readonly string[]): string =>
    [`/usr/bin/${program}`, ...common, ...words].map(shellWord).join(" ");
  return [
    // /run lasts as long as the script.
    "if [ ! -e /run/imgtool-lists-read ]; then",
    '  if [ -n "$network" ]; then',
    `    ${command(refresh)} >&2`,
    ...(refreshOffline === undefined ? [] : ["  else", `    ${command(refreshOffline)} >&2`]),
    "  fi",
    "  touch /run/imgtool-lists-read",
    "fi",
  ];
}

/** In a mount namespace that ends with the program. */
function mounting({ mounted, binds = {} }: ScriptProgramOptions): string {
  return [
    `mount -t proc proc ${mounted}/proc`,
    `mount --rbind /dev ${mounted}/dev`,
    `mount -t tmpfs -o mode=755 tmpfs ${mounted}/run`,
    `mount -t tmpfs -o mode=1777 tmpfs ${mounted}/tmp`,
    ...Object.entries(binds).flatMap(([path, source]) => {
      const target = shellWord(`${mounted}/${path}`);
      return [`mkdir -p ${target}`, `mount --bind ${shellWord(source)} ${target}`];
    }),
    'status=0; "$@" || status=$?',
    // dnf and zypper keep files at the cache's path below the tree.
    `rm -rf ${mounted}${scriptCache}`,
    'exit "$status"',
  ].join("\n");
}

/** What the configuration names on this machine: keys and lists of the project's own, mirrors in folders. */
export function hostMounts({ sandboxTree, mirror, localMirror }: InstallOptions): { source: string; target: string }[] {
  const folders = [mirror, localMirror]
    .filter((uri) => uri?.startsWith("file:"))
    .map((uri) => decodeURIComponent((uri ?? "").replace(/^file:(?:\/\/)?/, "")));
  return [sandboxTree, ...folders].flatMap((path) => (path === undefined ? [] : [{ source: path, target: path }]));
}
