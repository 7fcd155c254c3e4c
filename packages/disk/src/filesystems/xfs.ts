/**
 * XFS, written by imgtool itself: `mkfs.xfs -p` knows no extended attributes and takes times from the
 * clock.
 *
 * Version 5 with checksums, 4096-byte blocks, 512-byte inodes; every feature is one that Linux 5.10 and
 * GRUB 2.06 know (see `xfs/headers.ts`). Four allocation groups and a log of 64 MiB at least, as mkfs.xfs
 * makes them.
 * @module
 */
import type { FilesystemDriver } from "./filesystem.ts";
import { minimumSize, planXfs } from "./xfs/plan.ts";
import { XfsWriter } from "./xfs/write.ts";

export const xfs: FilesystemDriver = {
  name: "xfs",
  writable: true,
  tools: [],
  minimumSize,
  labelLimit: 12,
  prepare(options) {
    const plan = planXfs(options);
    return Promise.resolve({
      size: plan.space.geometry.blocks * 4096,
      write: async (target) => await new XfsWriter(plan, options, target).write(),
    });
  },
};
