/**
 * Gives a folder what was written to the upper layer of an overlay over it
 * (https://docs.kernel.org/filesystems/overlayfs.html).
 * @module
 */
import {
  constants,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  type BigIntStats,
} from "node:fs";
import { mkdtemp, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "@imgtool/core";
import { AT_FDCWD, getXattr, mknodat } from "@imgtool/host";
import { copyMetadata } from "./copy-tree.ts";
import { deviceNumbers } from "./tree-walk.ts";

export interface WriteBackOptions {
  /** Whether a path below the folder was not to be seen through the overlay: it is not removed. */
  readonly isHidden: (path: string) => boolean;
  /** Nanoseconds since 1970: what has not changed after is left alone. */
  readonly since: bigint;
}

/** Copies what is new in `upper` to `folder`, and removes there what it marks as removed. */
export function writeBack(upper: string, folder: string, options: WriteBackOptions): void {
  writeFolder({ upper, folder, ...options }, "");
}

/** The time that the file system of a folder gives to a change now; nanoseconds since 1970. */
export async function changeTime(folder: string): Promise<bigint> {
  const path = await mkdtemp(join(folder, "time-"));
  const { ctimeNs } = lstatSync(path, { bigint: true });
  await rmdir(path);
  return ctimeNs;
}

type Run = WriteBackOptions & { readonly upper: string; readonly folder: string };

// Inner paths are strings of bytes (latin1): names need not be UTF-8.
const at = (root: string, inner: string): Buffer =>
  Buffer.from(join(Buffer.from(root).toString("latin1"), inner), "latin1");
const namesIn = (folder: Buffer): string[] => readdirSync(folder, { encoding: "latin1" });

function writeFolder(run: Run, inner: string): void {
  for (const name of namesIn(at(run.upper, inner)).sort()) {
    const path = join(inner, name);
    const from = at(run.upper, path);
    const stat = lstatSync(from, { bigint: true });
    const isNew = stat.ctimeNs > run.since;
    if (stat.isDirectory()) updateFolder(run, path, stat, isNew);
    else if (isNew && isWhiteout(stat)) removeSeen(run, path);
    else if (isNew) writeFile(run, path, stat);
  }
}

function updateFolder(run: Run, path: string, stat: BigIntStats, isNew: boolean): void {
  const from = at(run.upper, path);
  const to = at(run.folder, path);
  let there = status(to);
  if (there?.isDirectory() !== true) {
    // A link is replaced, never followed.
    if (there !== undefined) rmSync(to);
    mkdirSync(to);
    there = undefined;
  }
  writeFolder(run, path);
  if (isNew && isOpaque(from)) {
    const own = new Set(namesIn(from));
    for (const other of namesIn(to)) if (!own.has(other)) removeSeen(run, join(path, other));
  }
  const differs = there === undefined || there.mode !== stat.mode || there.uid !== stat.uid || there.gid !== stat.gid;
  if (there === undefined || (isNew && differs)) copyMetadata(from, to, stat, "kept");
}

function writeFile(run: Run, path: string, stat: BigIntStats): void {
  if (stat.isSocket()) return;
  const from = at(run.upper, path);
  const to = at(run.folder, path);
  const temporary = at(run.folder, `${path}.imgtool-${process.pid}`);
  rmSync(temporary, { force: true });
  if (stat.isFile()) copyFileSync(from, temporary, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  else if (stat.isSymbolicLink()) symlinkSync(readlinkSync(from, { encoding: "buffer" }), temporary);
  else {
    const { major, minor } = deviceNumbers(stat.rdev);
    mknodat(AT_FDCWD, temporary, Number(stat.mode), major, minor);
  }
  copyMetadata(from, temporary, stat, "kept");
  if (status(to)?.isDirectory() === true) rmSync(to, { recursive: true });
  renameSync(temporary, to);
}

/** Removes a path with all in it that could be seen; folders that hold something hidden stay. */
function removeSeen(run: Run, path: string): void {
  if (run.isHidden(Buffer.from(path, "latin1").toString())) return;
  const place = at(run.folder, path);
  const there = status(place);
  if (there === undefined) return;
  if (!there.isDirectory()) {
    rmSync(place);
    return;
  }
  for (const name of namesIn(place)) removeSeen(run, join(path, name));
  try {
    rmdirSync(place);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOTEMPTY") throw error;
  }
}

function isWhiteout(stat: BigIntStats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0n;
}

/** The folder takes the place of the one below, of whose content nothing is left. */
function isOpaque(path: Buffer): boolean {
  return ["trusted.overlay.opaque", "user.overlay.opaque"].some((name) => getXattr(path, name)?.toString() === "y");
}

function status(path: Buffer): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}
