/**
 * Copies a project's tree (mkosi.skeleton, mkosi.extra) into the image's.
 *
 * Files belong to root, whoever owns the project; modes, times, links and attributes are kept. A
 * folder that the image has already keeps its mode: a checkout under umask 002 must not make /etc
 * writable for a group. Links in the image lead to other places of the image, and a copied file
 * replaces a link of its name instead of writing through it.
 * @module
 */
import {
  constants,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  type BigIntStats,
} from "node:fs";
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { TreeSource } from "@imgtool/config";
import {
  compareBytes,
  ConfigError,
  NotFoundError,
  systemErrorCode,
  throwIfAborted,
  type Progress,
} from "@imgtool/core";
import {
  AT_FDCWD,
  fchmodat,
  fchownat,
  getXattr,
  listXattrs,
  mknodat,
  runTool,
  setMtime,
  setXattr,
} from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import { findFileSystems, noTree, packImage } from "./disk-tree.ts";
import { deviceNumbers } from "./tree-walk.ts";

export interface CopyTreeOptions {
  /** Whose the copies are. Default "root". */
  readonly owners?: "root" | "kept";
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

const slash = Buffer.from("/");

/**
 * Copies `from.source` to `from.target` in `tree`: a folder's content, a file, or the content of a tar
 * archive or of a disk image. Returns how many files there were.
 * @throws NotFoundError `tree-not-found`, ConfigError `tree-conflict`, FormatError `tree-unreadable`, EnvironmentError
 *   `loop-devices-needed`
 */
export async function copyTree(from: TreeSource, tree: string, options: CopyTreeOptions): Promise<number> {
  const { source, target } = from;
  let status;
  try {
    status = await stat(source);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    throw new NotFoundError(`the tree ${source} does not exist`, {
      code: "tree-not-found",
      hint: "ExtraTrees= and SkeletonTrees= name folders, files, tar archives or disk images",
      data: { source },
      cause: error,
    });
  }
  const copier = new Copier(tree, options);
  if (status.isDirectory()) {
    const place = Buffer.from(await copier.folder(target));
    await copier.content(Buffer.from(source), place);
    return copier.count;
  }
  const systems = await imageAt(from);
  if (isArchive(source) || systems !== undefined) {
    const scratch = await mkdtemp(join(dirname(tree), "image-"));
    const archive = systems === undefined ? source : await packImage(source, systems, scratch, options.signal);
    // tar itself refuses to leave the folder by ".." or through links that the archive brings.
    const place = await copier.folder(target);
    await runTool(
      "tar",
      [
        "--extract",
        "--file",
        archive,
        "--directory",
        place,
        "--numeric-owner",
        "--preserve-permissions",
        "--keep-directory-symlink",
        "--xattrs",
        "--xattrs-include=*",
      ],
      options.signal === undefined ? {} : { signal: options.signal },
    );
    await rm(scratch, { recursive: true });
    copier.count++;
  } else {
    const parent = target.replace(/\/*[^/]*\/*$/, "");
    const name = target.replace(/\/+$/, "").slice(parent.length + 1);
    const place = await copier.folder(parent);
    await copier.entry(Buffer.from(source), Buffer.from(`${place}/${name}`));
  }
  return copier.count;
}

/**
 * The file systems of a file that is an image of a tree: as mkosi has it one that is called .raw, and any that is to
 * be the whole tree.
 * @throws FormatError `tree-unreadable`
 */
export async function imageAt({ source, target }: TreeSource): ReturnType<typeof findFileSystems> {
  const isWhole = target.replaceAll("/", "") === "";
  if (isArchive(source) || !(await stat(source)).isFile()) return undefined;
  if (!isWhole && !source.endsWith(".raw")) return undefined;
  const systems = await findFileSystems(source);
  if (systems === undefined && isWhole) throw noTree(source);
  return systems;
}

function isArchive(path: string): boolean {
  return /\.tar(\.\w+)?$|\.t[gx]z$/.test(path);
}

class Copier {
  count = 0;
  readonly #tree: string;
  readonly #options: CopyTreeOptions;

  constructor(tree: string, options: CopyTreeOptions) {
    this.#tree = tree;
    this.#options = options;
  }

  /** Makes the folders to a place in the image; where it is on this machine. */
  async folder(target: string): Promise<string> {
    const place = await resolveInTree(this.#tree, target, { followLast: true });
    const made = await mkdir(place, { recursive: true });
    // mkdir obeys the umask.
    for (
      let path = made === undefined ? "" : place;
      path.length >= (made ?? "/").length;
      path = path.replace(/\/[^/]*$/, "")
    )
      fchmodat(AT_FDCWD, path, 0o755);
    return place;
  }

  async content(source: Buffer, target: Buffer): Promise<void> {
    for (const name of readdirSync(source, { encoding: "buffer" }).sort(compareBytes))
      await this.entry(Buffer.concat([source, slash, name]), Buffer.concat([target, slash, name]));
  }

  async entry(source: Buffer, target: Buffer): Promise<void> {
    if (++this.count % 200 === 0) {
      await setImmediate();
      throwIfAborted(this.#options.signal);
    }
    const stat = lstatSync(source, { bigint: true });
    if (stat.isDirectory()) {
      await this.#directory(source, target, stat);
      return;
    }
    const there = status(target);
    if (there?.isDirectory() === true) throw this.#conflict(source, target, "a file", "a folder");
    if (there !== undefined) rmSync(target);
    if (stat.isFile()) {
      copyFileSync(source, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    } else if (stat.isSymbolicLink()) {
      symlinkSync(readlinkSync(source, { encoding: "buffer" }), target);
    } else if (stat.isSocket()) {
      this.#options.progress.log("warning", `${source.toString()} is a socket: left out`);
      return;
    } else {
      const { major, minor } = deviceNumbers(stat.rdev);
      mknodat(AT_FDCWD, target, Number(stat.mode), major, minor);
    }
    copyMetadata(source, target, stat, this.#options.owners);
  }

  async #directory(source: Buffer, target: Buffer, stat: BigIntStats): Promise<void> {
    const there = status(target);
    if (there?.isSymbolicLink() === true) {
      const inner = target.toString().slice(this.#tree.length);
      const place = await this.folder(inner);
      await this.content(source, Buffer.from(place));
      return;
    }
    if (there !== undefined && !there.isDirectory()) throw this.#conflict(source, target, "a folder", "a file");
    if (there === undefined) mkdirSync(target);
    await this.content(source, target);
    if (there === undefined) copyMetadata(source, target, stat, this.#options.owners);
  }

  #conflict(source: Buffer, target: Buffer, from: string, to: string): ConfigError {
    const inner = target.toString().slice(this.#tree.length);
    return new ConfigError(`cannot copy ${source.toString()}: it is ${from}, but ${inner} is ${to} in the image`, {
      code: "tree-conflict",
      data: { source: source.toString(), target: inner },
    });
  }
}

function status(path: Buffer): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** Gives a copy the mode, the time and the attributes of what it was copied from. */
export function copyMetadata(
  source: Buffer,
  target: Buffer,
  stat: BigIntStats,
  owners: CopyTreeOptions["owners"] = "root",
): void {
  // The owner first: a change of owner clears set-user-ID bits and capabilities.
  if (owners === "kept") fchownat(AT_FDCWD, target, Number(stat.uid), Number(stat.gid));
  else fchownat(AT_FDCWD, target, 0, 0);
  if (!stat.isSymbolicLink()) fchmodat(AT_FDCWD, target, Number(stat.mode) & 0o7777);
  for (const name of listXattrs(source)) {
    // Those of overlayfs's are about its layers.
    if (!/^(?:user\.(?!overlay\.)|security\.capability$|system\.posix_acl_)/.test(name.toString())) continue;
    const value = getXattr(source, name);
    if (value !== undefined) setXattr(target, name, value);
  }
  setMtime(AT_FDCWD, target, stat.mtimeNs);
}
