/**
 * How much of a source is content: of a block device, what its file system says, as casync has it.
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import { getBlockDeviceSize } from "@imgtool/host";
import { fileSystemHeadSize, fileSystemSize } from "./file-system-size.ts";

export interface SourceLength {
  /** Bytes to read; Infinity where the end is not known before it is reached. */
  readonly length: number;
  /** Of a file, bytes that take up no space: there are holes, or the file system compresses. */
  readonly holes?: number;
  /** What was found, where it shortens a device: for people. */
  readonly note?: string;
}

/**
 * The length of an open source. A regular file is content from end to end, whatever is in it. A
 * superblock that claims more than the device has is not believed.
 */
export async function sourceLength(handle: FileHandle): Promise<SourceLength> {
  const stats = await handle.stat();
  if (stats.isFile()) return { length: stats.size, holes: stats.size - stats.blocks * 512 };
  if (!stats.isBlockDevice()) return { length: Infinity };
  const length = getBlockDeviceSize(handle.fd);
  const head = Buffer.alloc(Math.min(fileSystemHeadSize, length));
  let filled = 0;
  for (let count = -1; count !== 0 && filled < head.length; filled += count)
    count = (await handle.read(head, filled, head.length - filled, filled)).bytesRead;
  const found = fileSystemSize(head.subarray(0, filled));
  if (found === undefined || found.size >= length) return { length };
  return { length: found.size, note: `${found.kind} file system of ${found.size} of ${length} bytes` };
}
