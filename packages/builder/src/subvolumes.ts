/**
 * Trees as btrfs subvolumes (UseSubvolumes=): a copy of one is a snapshot, which takes no time and no space.
 * @module
 */
import { closeSync, openSync } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { EnvironmentError, systemErrorCode } from "@imgtool/core";
import { createSubvolume, snapshotSubvolume } from "@imgtool/host";
import { copyWholeTree } from "./copy-whole-tree.ts";

/** The root of a subvolume has this inode number (BTRFS_FIRST_FREE_OBJECTID). */
const rootInode = 256;

/** What tells that a file system has no subvolumes, or that whoever asks may not make any. */
const notPossible = new Set(["ENOTTY", "EINVAL", "EPERM", "EACCES", "EOPNOTSUPP", "EXDEV"]);

/**
 * Makes an empty folder for a tree: a subvolume where that can be, unless the project does not want any.
 * @throws EnvironmentError `subvolume-unsupported` with UseSubvolumes=yes
 */
export async function makeTreeRoot(path: string, useSubvolumes: ImageConfig["useSubvolumes"]): Promise<void> {
  if (useSubvolumes === "disabled") {
    await mkdir(path);
    return;
  }
  try {
    withDirectory(dirname(path), (folder) => createSubvolume(folder, Buffer.from(basename(path))));
  } catch (error) {
    if (!notPossible.has(systemErrorCode(error) ?? "")) throw error;
    if (useSubvolumes === "enabled") {
      throw new EnvironmentError(`UseSubvolumes=yes, and ${dirname(path)} is not on btrfs`, {
        code: "subvolume-unsupported",
        hint: "put the outputs or WorkspaceDirectory= on btrfs, or take UseSubvolumes= out",
        data: { path },
        cause: error,
      });
    }
    await mkdir(path);
  }
}

/**
 * Copies a tree to a path that is not there: a snapshot of a subvolume, where the path is on its file system,
 * else file by file.
 */
export async function copyTreeRoot(
  from: string,
  to: string,
  useSubvolumes: ImageConfig["useSubvolumes"],
  signal: AbortSignal | undefined,
): Promise<void> {
  if (useSubvolumes !== "disabled" && (await stat(from)).ino === rootInode) {
    try {
      withDirectory(from, (source) =>
        withDirectory(dirname(to), (folder) => snapshotSubvolume(source, folder, Buffer.from(basename(to)))),
      );
      return;
    } catch (error) {
      if (!notPossible.has(systemErrorCode(error) ?? "")) throw error;
    }
  }
  await makeTreeRoot(to, useSubvolumes === "enabled" ? "auto" : useSubvolumes);
  await copyWholeTree(from, to, signal);
}

/** Puts a copy of a tree in the place of an empty one. */
export async function replaceTreeRoot(
  from: string,
  to: string,
  useSubvolumes: ImageConfig["useSubvolumes"],
  signal: AbortSignal | undefined,
): Promise<void> {
  await rm(to, { recursive: true });
  await copyTreeRoot(from, to, useSubvolumes, signal);
}

function withDirectory(path: string, use: (descriptor: number) => void): void {
  const descriptor = openSync(path, "r");
  try {
    use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
