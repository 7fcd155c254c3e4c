/**
 * Disk images without root: GPT, file systems, dm-verity.
 * @module
 */
export { copyRanges, type RangeCopy, type RangeCopyOptions } from "./copy-ranges.ts";
export { burnImage, type BurnOptions } from "./burn.ts";
export { checkDefinitions, checkSigner, checkSplitNames, type LayoutOptions } from "./check-definitions.ts";
export * from "./definitions.ts";
export { checkRoom } from "./check-room.ts";
export { checkCompression, type CompressionChoice } from "./filesystems/compression.ts";
export * from "./filesystems/filesystem.ts";
export * from "./filesystems/index.ts";
export type { DiskPartition } from "./describe-partitions.ts";
export * from "./disk-options.ts";
export * from "./make-disk.ts";
export * from "./passphrases.ts";
export * from "./partition-types.ts";
export * from "./repart-file.ts";
export * from "./repart-folder.ts";
export * from "./tree/node.ts";
export * from "./tree/scan.ts";
export * from "./verity-file.ts";
export * from "./images/identify.ts";
