/**
 * Files that a file of an archive may become another name of (`--hardlink=yes`): one of the same path
 * in a tree that serves as a seed, whose content is compared as it comes, or one that the same archive
 * had before, with the same digest. Both must be equal in all that the archive records.
 *
 * An archive does not say which names were links: what is equal in everything is taken for one file.
 * @module
 */
import { createHash } from "node:crypto";
import { closeSync } from "node:fs";
import type { CatarNode } from "@imgtool/catar";
import { systemErrorCode } from "@imgtool/core";
import { fileSystemType, openat, openFlags, statx } from "@imgtool/host";
import { readAttributes } from "./attributes.ts";
import { collectNode } from "./collect.ts";
import { equalMetadata, metadataText } from "./diff-tree.ts";
import type { IdShift } from "./id-shift.ts";

/** An open file, and its name in an open directory. */
export interface LinkCandidate {
  readonly descriptor: number;
  readonly directory: number;
  readonly name: Buffer;
}

const readMode = openFlags.read | openFlags.noFollow | openFlags.nonBlock;

/** Opens a regular file of this size; undefined where there is none, or it may not be read. */
export function openPlainFile(directory: number, name: Buffer, size?: number): number | undefined {
  const descriptor = openIfThere(directory, name, readMode);
  if (descriptor === undefined) return undefined;
  const { mode, size: found } = statx(descriptor, "");
  if ((mode & 0o170_000) === 0o100_000 && (size === undefined || found === size)) return descriptor;
  closeSync(descriptor);
  return undefined;
}

export function openDirectory(directory: number, name: Buffer): number | undefined {
  return openIfThere(directory, name, openFlags.read | openFlags.directory | openFlags.noFollow);
}

function openIfThere(directory: number, name: Buffer, flags: number): number | undefined {
  try {
    return openat(directory, name, flags);
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "ENXIO"].includes(systemErrorCode(error) ?? "")) return undefined;
    throw error;
  }
}

/** The file under the name in a seed's directory, when it has all the metadata of the node. */
export function formerCandidate(
  directory: number,
  name: Buffer,
  node: CatarNode,
  flags: bigint,
  idShift: IdShift | undefined,
): LinkCandidate | undefined {
  const size = node.content.kind === "file" ? node.content.size : 0;
  const descriptor = openPlainFile(directory, name, size);
  if (descriptor === undefined) return undefined;
  const fileSystem = fileSystemType(descriptor);
  const attributes = readAttributes(descriptor, fileSystem);
  const place = { directory, name, descriptor, status: statx(descriptor, ""), fileSystem, attributes };
  const found = collectNode(place, flags, idShift === undefined ? undefined : { ...idShift, wraps: true });
  if (equalMetadata(found, node, flags)) return { descriptor, directory, name };
  closeSync(descriptor);
  return undefined;
}

/** A file of the archive that was restored: its name in an open directory, and its inode number. */
export interface RestoredFile {
  readonly directory: number;
  readonly name: Buffer;
  readonly inode: bigint;
}

/** The files of an archive so far, by all that is recorded of them: some 200 bytes for each. */
export class ArchiveFiles {
  readonly #flags: bigint;
  readonly #files = new Map<string, { readonly names: readonly Buffer[]; readonly inode: bigint }>();

  constructor(flags: bigint) {
    this.#flags = flags;
  }

  /** What tells a file from all that are not equal to it. @param content digest of its bytes */
  key({ metadata }: CatarNode, content: Uint8Array): string {
    return createHash("sha256").update(content).update(metadataText(metadata, this.#flags)).digest("base64");
  }

  /** Remembers a file under the names from the root on, unless one like it is known. */
  add(key: string, names: readonly Buffer[], inode: bigint): void {
    if (!this.#files.has(key)) this.#files.set(key, { names, inode });
  }

  /**
   * Calls `use` with the first file like it, whose directory is found below the root without following
   * links.
   * @returns what `use` returns; false when there is no such file
   */
  find(key: string, root: number, use: (file: RestoredFile) => boolean): boolean {
    const found = this.#files.get(key);
    const name = found?.names.at(-1);
    if (found === undefined || name === undefined) return false;
    let directory = root;
    try {
      for (const one of found.names.slice(0, -1)) {
        const next = openDirectory(directory, one);
        if (directory !== root) closeSync(directory);
        directory = next ?? root;
        if (next === undefined) return false;
      }
      return use({ directory, name, inode: found.inode });
    } finally {
      if (directory !== root) closeSync(directory);
    }
  }
}
