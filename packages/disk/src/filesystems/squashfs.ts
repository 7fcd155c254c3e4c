/**
 * squashfs by mksquashfs(1), which takes the tree as an archive: so times are clamped, files are left
 * out, and order, owners and attributes are what the tree says, whatever the machine's readdir gives.
 * @module
 */
import { closeSync, openSync } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { ProcessError, throwIfAborted } from "@imgtool/core";
import { displayPath, runTool } from "@imgtool/host";
import { noSpace, writeError } from "../sparse-file.ts";
import { walk, type TreeNode } from "../tree/node.ts";
import { tarStream } from "../tree/tar.ts";
import { readRun } from "./data-runs.ts";
import { doesNotFit, type FilesystemDriver, type FilesystemOptions } from "./filesystem.ts";

// Measured on Debian's /usr/bin: 9 takes 1.4 times as long for 1 % less, 3 takes 0.6 times as long for 6 % more.
// mksquashfs's own default, 15, takes 7 times as long for 4 % less of a small system.
const usual = { algorithm: "zstd", level: 6 };

export const squashfs: FilesystemDriver = {
  name: "squashfs",
  writable: false,
  tools: ["mksquashfs"],
  minimumSize: 4096,
  labelLimit: 0,
  async prepare(options) {
    const path = join(options.scratch, `${options.scratchName ?? "filesystem"}.squashfs`);
    // mksquashfs appends to a file that is there.
    await rm(path, { force: true });
    warnOfAcls(options);
    try {
      await make(path, options);
      const { size } = await stat(path);
      if (options.size !== undefined && size > options.size) throw doesNotFit("squashfs", size, options.size);
      return {
        size: options.size ?? size,
        write: async (target) => {
          const file = openSync(path, "r");
          try {
            // In pieces, so that an interruption does not wait for the whole.
            for (let offset = 0; offset < size; offset += 2 ** 26) {
              throwIfAborted(options.signal);
              const length = Math.min(2 ** 26, size - offset);
              readRun(file, Buffer.from(path), { offset, length }, (at, wanted) => target.room(at, wanted));
            }
          } finally {
            closeSync(file);
          }
          await rm(path, { force: true });
        },
      };
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  },
};

/** The format has no place for access control lists: mksquashfs cannot store them, and the kernel reads none. */
function warnOfAcls({ tree, progress }: FilesystemOptions): void {
  let first: Buffer | undefined;
  let count = 0;
  for (const { node, path, again } of walk(tree)) {
    if (again || !node.xattrs.some(({ name }) => name.startsWith("system.posix_acl_"))) continue;
    first ??= path;
    count++;
  }
  if (first === undefined) return;
  const place = `/${displayPath(first)}`;
  const which = count === 1 ? `that of ${place} is` : `those of ${count} paths, ${place} the first, are`;
  progress?.log(
    "warning",
    `squashfs cannot keep access control lists: ${which} left out`,
    "choose erofs, which keeps them, or remove them from the tree with setfacl --remove-all",
  );
}

async function make(path: string, options: FilesystemOptions): Promise<void> {
  const { tree, sourceDateEpoch, signal } = options;
  const { algorithm, level } = options.compression ?? usual;
  let failure: unknown;
  const archive = Readable.from(
    (function* (): Generator<Buffer> {
      try {
        yield* tarStream(tree);
      } catch (error) {
        failure = error;
        throw error;
      }
    })(),
    { objectMode: false },
  );
  const root: TreeNode = tree;
  // mksquashfs 4.5 gives the root of an archive the current time, whatever -root-time says; it clamps
  // every time to SOURCE_DATE_EPOCH, though, which is also the time the file system is made at.
  let latest = Math.max(0, sourceDateEpoch ?? root.seconds);
  if (sourceDateEpoch === undefined) for (const { node } of walk(root)) latest = Math.max(latest, node.seconds);
  try {
    throwIfAborted(signal);
    await runTool(
      "mksquashfs",
      [
        ["-", path, "-tar", "-no-progress", "-quiet", "-comp", algorithm],
        level === undefined ? [] : ["-Xcompression-level", String(level)],
        ["-root-mode", root.mode.toString(8)],
        ["-root-uid", String(root.uid), "-root-gid", String(root.gid)],
      ].flat(),
      { input: archive, signal, env: { SOURCE_DATE_EPOCH: String(latest) } },
    );
  } catch (error) {
    if (error instanceof ProcessError && /no space left/i.test(error.message)) throw noSpace(path, error);
    throw writeError(path, failure ?? error);
  }
}
