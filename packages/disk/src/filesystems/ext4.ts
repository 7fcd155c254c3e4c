/**
 * ext4, written by imgtool itself: `mke2fs -d` fills in readdir's order and copies ctimes, so the same
 * tree gives other bytes on another machine; and one pass of large writes is faster than a debugfs
 * script of six commands per file.
 *
 * 4096-byte blocks, extents, 64bit, flex_bg, metadata_csum, sparse_super; a journal of mke2fs's size
 * unless the file system is read-only. Growing later needs no reserved blocks: the kernel goes over to
 * meta_bg.
 * @module
 */
import { minimumSize, planExt4 } from "./ext4/plan.ts";
import { Ext4Writer } from "./ext4/write.ts";
import type { FilesystemDriver } from "./filesystem.ts";

export const ext4: FilesystemDriver = {
  name: "ext4",
  writable: true,
  tools: [],
  minimumSize,
  labelLimit: 16,
  prepare(options) {
    const plan = planExt4(options);
    return Promise.resolve({
      size: plan.geometry.blocks * 4096,
      write: async (target) => await new Ext4Writer(plan, options, target).write(),
    });
  },
};
