/**
 * btrfs, written by imgtool itself: `mkfs.btrfs --rootdir` fills in readdir's order, takes random UUIDs
 * and the current time, and before 6.12 makes no subvolumes.
 *
 * Nodes of 16 KiB, sectors of 4096 bytes, crc32c, single profiles, no holes, free space tree.
 * Content is compressed where that is asked for.
 * @module
 */
import { closeSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { throwIfAborted } from "@imgtool/core";
import { crc32c } from "../crc32.ts";
import type { BlockWriter } from "../sparse-file.ts";
import { encodeSuperblock, sectorSize } from "./btrfs/format.ts";
import { compressTree } from "./btrfs/compress.ts";
import { largestInline, type Copy } from "./btrfs/files.ts";
import { planBtrfs, type BtrfsPlan } from "./btrfs/plan.ts";
import { alignUp, dataStart, superblocks } from "./btrfs/space.ts";
import { openContent, readRun } from "./data-runs.ts";
import { doesNotFit, sizeWithRoom, type FilesystemDriver, type FilesystemOptions } from "./filesystem.ts";

const minimumSize: number = 256 * 1024 ** 2;
const buffer = Buffer.alloc(1024 ** 2);

export const btrfs: FilesystemDriver = {
  name: "btrfs",
  writable: true,
  tools: [],
  minimumSize,
  labelLimit: 255,
  async prepare(options) {
    const path = join(options.scratch, `${options.scratchName ?? "filesystem"}.btrfs-data`);
    const { compression } = options;
    const compressed =
      compression && (await compressTree(options.tree, compression, path, largestInline, options.signal));
    try {
      const plan = planBtrfs(options, compressed);
      if (options.size !== undefined && options.size < plan.smallest)
        throw doesNotFit("btrfs", plan.smallest, options.size);
      plan.size = options.size ?? sizeWithRoom(plan.smallest, options, minimumSize);
      return {
        size: plan.size,
        write: async (target) => {
          await write(plan, options, target);
          await rm(path, { force: true });
        },
      };
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  },
};

async function write(plan: BtrfsPlan, options: FilesystemOptions, target: BlockWriter): Promise<void> {
  for (const [index, copy] of plan.copies.entries()) {
    if (index % 256 === 0) {
      throwIfAborted(options.signal);
      await setImmediate();
    }
    copyData(copy, plan.csums, target);
  }
  for (const tree of plan.trees)
    for (const { address, bytes } of tree.encode(plan.identity)) target.write(address, bytes);
  for (const address of superblocks) {
    if (address + sectorSize > plan.size) continue;
    const { identity, size, used, chunks, defaultSubvolume, zstd } = plan;
    const roots = { root: plan.root.root, chunkRoot: plan.chunkTree.root };
    const label = options.label ?? "";
    target.write(
      address,
      encodeSuperblock({ identity, address, size, used, chunks, label, defaultSubvolume, zstd, ...roots }),
    );
  }
}

/** Copies a piece of a file, the rest of its last sector zero, and notes the checksum of each sector. */
function copyData({ source, offset, length, address }: Copy, csums: Uint32Array, target: BlockWriter): void {
  const file = openContent(source);
  try {
    for (let at = 0; at < length; at += buffer.length) {
      const wanted = Math.min(buffer.length, length - at);
      const whole = alignUp(wanted, sectorSize);
      const start = offset + at;
      readRun(file, source, { offset: start, length: wanted }, (place, count) =>
        buffer.subarray(place - start, place - start + count),
      );
      buffer.fill(0, wanted, whole);
      for (let sector = 0; sector < whole; sector += sectorSize)
        csums[(address + at + sector - dataStart) / sectorSize] = ~crc32c(buffer.subarray(sector, sector + sectorSize));
      target.write(address + at, buffer.subarray(0, whole));
    }
  } finally {
    closeSync(file);
  }
}
