/**
 * Packs a tree as a cpio archive, which the Linux kernel takes as an initial RAM disk: names in byte
 * order, no trace of the build machine.
 * @module
 */
import { createReadStream, createWriteStream, readlinkSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Progress } from "@imgtool/core";
import { encodeCpio, type CpioEntry } from "@imgtool/cpio";
import { listXattrs } from "@imgtool/host";
import { deviceNumbers, walkTree, type TreeItem } from "../tree-walk.ts";

export interface PackCpioOptions {
  readonly tree: string;
  readonly output: string;
  /** Whether the archive gets a path, relative to the tree, and if it is a folder any below. Default: all of them. */
  readonly select?: (path: string) => boolean;
  /** Seconds since 1970 that later times become. Default: times stay as they are. */
  readonly latest?: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes the archive. Memory: one buffer of content, and the names of hard links. The root itself has no
 * entry: whoever unpacks the archive has made it.
 * @throws FormatError `cpio-entry-invalid` for a file of 4 GiB or more
 */
export async function packCpio({ tree, output, select, latest, progress, signal }: PackCpioOptions): Promise<void> {
  using task = progress.start({ label: "write cpio archive" });
  const lost: string[] = [];
  const enter = select === undefined ? {} : { enter: (inner: Buffer): boolean => select(inner.toString()) };
  async function* entries(): AsyncGenerator<CpioEntry, void, undefined> {
    for await (const item of walkTree(tree, { ...enter, signal })) {
      // A socket is a running program's: archives cannot hold one.
      if (item.inner.length === 0 || item.stat.isSocket()) continue;
      if (select !== undefined && !select(item.inner.toString())) continue;
      task.advance(1);
      task.detail(item.inner.toString());
      if (listXattrs(item.path).some((name) => /^(?:security\.capability|system\.posix_acl_)/.test(name.toString())))
        lost.push(item.inner.toString());
      yield cpioEntry(item, latest);
    }
  }
  await pipeline(
    Readable.from(encodeCpio(entries()), { objectMode: false, highWaterMark: 1024 ** 2 }),
    createWriteStream(output),
    signal === undefined ? {} : { signal },
  );
  task.done();
  if (lost.length > 0)
    progress.log(
      "warning",
      `${lost.length} files lose capabilities or access lists, which cpio cannot hold: /${lost[0] ?? ""}${lost.length > 1 ? ", …" : ""}`,
    );
}

function cpioEntry({ path: place, inner: path, stat }: TreeItem, latest = Infinity): CpioEntry {
  const common = {
    path,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: Math.min(Number(stat.mtimeNs / 1_000_000_000n), latest),
  };
  if (stat.isDirectory()) return { ...common, kind: "directory" };
  const linked = {
    ...common,
    ...(stat.nlink > 1n ? { hardLink: { id: `${stat.dev}:${stat.ino}`, count: Number(stat.nlink) } } : {}),
  };
  if (stat.isSymbolicLink()) return { ...linked, kind: "symlink", target: readlinkSync(place, { encoding: "buffer" }) };
  if (stat.isFIFO()) return { ...linked, kind: "fifo" };
  if (stat.isCharacterDevice()) return { ...linked, kind: "character-device", ...deviceNumbers(stat.rdev) };
  if (stat.isBlockDevice()) return { ...linked, kind: "block-device", ...deviceNumbers(stat.rdev) };
  return { ...linked, kind: "file", size: Number(stat.size), content: createLazily(place) };
}

/** Opened only when the archive comes to it, and of hard links one only. */
async function* createLazily(path: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const bytes of createReadStream(path, { highWaterMark: 1024 ** 2 })) yield bytes as Buffer;
}
