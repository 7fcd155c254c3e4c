/**
 * Packs a tree as a tar archive: names in byte order, numeric owners, no trace of the build machine.
 * @module
 */
import { createReadStream, createWriteStream, readlinkSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Progress } from "@imgtool/core";
import { getXattr, listXattrs } from "@imgtool/host";
import { encodeTar, type ExtendedAttribute, type TarEntry } from "@imgtool/tar";
import { deviceNumbers, walkTree, type TreeItem } from "../tree-walk.ts";

export interface PackTarOptions {
  readonly tree: string;
  readonly output: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** Writes the archive. Memory: one buffer of content, and the names of hard links. */
export async function packTar({ tree, output, progress, signal }: PackTarOptions): Promise<void> {
  using task = progress.start({ label: "write tar archive" });
  const entries = treeEntries(tree, signal, (path) => {
    task.advance(1);
    task.detail(path);
  });
  await pipeline(
    Readable.from(encodeTar(entries), { objectMode: false, highWaterMark: 1024 ** 2 }),
    createWriteStream(output),
    signal === undefined ? {} : { signal },
  );
  task.done();
}

async function* treeEntries(
  tree: string,
  signal: AbortSignal | undefined,
  onEntry: (path: string) => void,
): AsyncGenerator<TarEntry, void, undefined> {
  const linked = new Map<string, Buffer>();
  for await (const item of walkTree(tree, { signal })) {
    // A socket is a running program's: archives cannot hold one.
    if (item.stat.isSocket()) continue;
    const path = Buffer.concat([Buffer.from("./"), item.inner]);
    onEntry(item.inner.toString());
    yield treeEntry(item, path, linked);
  }
}

function treeEntry({ path: place, stat }: TreeItem, path: Buffer, linked: Map<string, Buffer>): TarEntry {
  const common = {
    path,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: stat.mtimeNs,
    xattrs: attributes(place),
  };
  if (stat.isDirectory()) return { ...common, kind: "directory" };
  if (stat.nlink > 1n) {
    const key = `${stat.dev}:${stat.ino}`;
    const first = linked.get(key);
    if (first !== undefined) return { ...common, xattrs: [], kind: "hardlink", target: first };
    linked.set(key, path);
  }
  if (stat.isSymbolicLink()) return { ...common, kind: "symlink", target: readlinkSync(place, { encoding: "buffer" }) };
  if (stat.isFIFO()) return { ...common, kind: "fifo" };
  if (stat.isCharacterDevice()) return { ...common, kind: "character-device", ...deviceNumbers(stat.rdev) };
  if (stat.isBlockDevice()) return { ...common, kind: "block-device", ...deviceNumbers(stat.rdev) };
  return {
    ...common,
    kind: "file",
    size: Number(stat.size),
    content: stat.size === 0n ? [] : (createLazily(place) as AsyncIterable<Uint8Array>),
  };
}

/** Opened only when the archive comes to it: an open stream per file would run out of descriptors. */
async function* createLazily(path: Buffer): AsyncGenerator<unknown, void, undefined> {
  yield* createReadStream(path, { highWaterMark: 1024 ** 2 });
}

function attributes(path: Buffer): ExtendedAttribute[] {
  const found: ExtendedAttribute[] = [];
  for (const bytes of listXattrs(path)) {
    const name = bytes.toString();
    if (!/^(?:user\.|trusted\.|security\.capability$|system\.posix_acl_)/.test(name)) continue;
    const value = getXattr(path, bytes);
    if (value !== undefined) found.push({ name, value });
  }
  return found;
}
