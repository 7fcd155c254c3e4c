/**
 * Folders of this machine that the running system sees: RuntimeTrees=, RuntimeBuildSources=, RuntimeHome=.
 * Virtual machines get them by virtiofs where virtiofsd is there, else by QEMU's own 9p.
 * @module
 */
import { stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join, posix } from "node:path";
import type { RuntimeConfig } from "@imgtool/config";
import { ConfigError, type Progress } from "@imgtool/core";
import { findTool, runTool } from "@imgtool/host";
import { isRoot } from "@imgtool/sandbox";
import { startSideProgram } from "./side-program.ts";
import type { MachineShare } from "./virtual-machine.ts";

export interface SharedFolder {
  readonly source: string;
  /** Absolute, in the running system. */
  readonly target: string;
}

export type ShareSettings = Pick<RuntimeConfig, "runtimeTrees" | "runtimeHome" | "runtimeBuildSources">;

/** The folders that the settings name, each with the place where mkosi has it. */
export function sharedFolders(settings: ShareSettings, home: string = homedir()): SharedFolder[] {
  const { runtimeTrees, runtimeHome, runtimeBuildSources: build } = settings;
  return [
    ...(build?.sources ?? []).map(({ source, target }) => ({ source, target: posix.resolve("/work/src", target) })),
    ...(build?.buildDirectory === undefined ? [] : [{ source: build.buildDirectory, target: "/work/build" }]),
    ...runtimeTrees.map(({ source, target }) => ({ source, target: posix.resolve("/root/src", target) })),
    ...(runtimeHome ? [{ source: home, target: "/root" }] : []),
  ];
}

/**
 * The folders' own owners, by number.
 * @throws ConfigError `runtime-tree-missing`
 */
export async function ownersOf(folders: readonly SharedFolder[]): Promise<number[]> {
  return await Promise.all(
    folders.map(async ({ source }) => {
      const status = await stat(source).catch(() => undefined);
      if (status?.isDirectory() === true) return status.uid;
      throw new ConfigError(`${source}, which the running system shall see, is not a folder`, {
        code: "runtime-tree-missing",
        data: { path: source },
      });
    }),
  );
}

/** The name by which the guest mounts the folder at this place of the list: `mount -t virtiofs share0 /mnt`. */
function shareTag(index: number): string {
  return `share${index}`;
}

/**
 * Lines of fstab(5), for the credential fstab.extra that systemd 254 and later reads. A folder that
 * cannot be mounted does not stop the boot.
 */
export function fstabLine(what: string, target: string, type: string, options: readonly string[] = []): string {
  const place = target
    .replaceAll("\\", String.raw`\134`)
    .replaceAll(" ", String.raw`\040`)
    .replaceAll("\t", "\\011");
  return `${what} ${place} ${type} ${[...options, "nofail", "x-systemd.before=local-fs.target"].join(",")} 0 0\n`;
}

const ninePOptions = ["trans=virtio", "version=9p2000.L", "msize=512000"];

/** How a virtual machine finds its folders. */
export function sharesFstab(folders: readonly SharedFolder[], kind: MachineShare["kind"]): string {
  const options = kind === "9p" ? ninePOptions : [];
  return folders.map(({ target }, index) => fstabLine(shareTag(index), target, kind, options)).join("");
}

/** The program that serves virtiofs, in one of its two forms: QEMU's own until version 8, and its successor. */
export interface ShareServer {
  readonly path: string;
  readonly isOld: boolean;
}

const elsewhere = ["/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/** The virtiofsd of this machine, or undefined; QEMU's own runs for root only. */
export async function findShareServer(): Promise<ShareServer | undefined> {
  for (const name of ["virtiofsd", ...elsewhere]) {
    const path = await findTool(name);
    if (path === undefined) continue;
    const { stdout } = await runTool(path, ["--version"]);
    const isOld = stdout.includes("virtiofsd version");
    if (!isOld || isRoot()) return { path, isOld };
  }
  return undefined;
}

/** The arguments of virtiofsd. The guest cannot leave the folder: it is the program's root. */
export function shareServerArguments({ isOld }: ShareServer, source: string, socket: string): string[] {
  // As root of a user namespace of its own, an ordinary user's files are root's in the guest.
  const sandbox = isRoot() ? "chroot" : "namespace";
  if (!isOld)
    return [
      `--shared-dir=${source}`,
      `--socket-path=${socket}`,
      "--xattr",
      `--sandbox=${sandbox}`,
      "--log-level=error",
    ];
  // Its options are a list with commas, in which a comma has a backslash.
  const options = [`source=${source.replaceAll(",", String.raw`\,`)}`, `sandbox=${sandbox}`, "xattr"];
  // Its own limit of open files is more than many machines allow.
  return [`--socket-path=${socket}`, "-o", options.join(","), "--rlimit-nofile=0"];
}

export interface ShareOptions {
  readonly folders: readonly SharedFolder[];
  /** Without one, QEMU serves the folders by 9p. */
  readonly server: ShareServer | undefined;
  /** For sockets. */
  readonly folder: string;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

export interface StartedShares extends AsyncDisposable {
  readonly shares: readonly MachineShare[];
}

/** Starts what serves the folders; disposing of it ends it. */
export async function startShares({ folders, server, folder, progress, signal }: ShareOptions): Promise<StartedShares> {
  await ownersOf(folders);
  await using stack = new AsyncDisposableStack();
  const shares: MachineShare[] = [];
  for (const [index, { source }] of folders.entries()) {
    const tag = shareTag(index);
    if (server === undefined) {
      shares.push({ kind: "9p", tag, source });
      continue;
    }
    const socket = join(folder, tag);
    const args = shareServerArguments(server, source, socket);
    progress.log("debug", `${server.path} ${args.join(" ")}`);
    stack.use(await startSideProgram(server.path, args, { socket, signal }));
    shares.push({ kind: "virtiofs", tag, socket });
  }
  const started = stack.move();
  return { shares, [Symbol.asyncDispose]: async () => await started.disposeAsync() };
}
