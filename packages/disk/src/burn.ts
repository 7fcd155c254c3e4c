/**
 * Writes a disk image to a device that it will be started from: all of it, with the backup partition table
 * where the device ends, and reads it back.
 * @module
 */
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import {
  ConfigError,
  EnvironmentError,
  formatSize,
  IntegrityError,
  silentProgress,
  systemErrorCode,
  throwIfAborted,
  type Progress,
} from "@imgtool/core";
import { dropDeviceCache, getBlockDeviceSize, rereadPartitions, zeroBlockDevice } from "@imgtool/host";
import { decodeGpt, encodeGpt, gptTailSize } from "./gpt.ts";

export interface BurnOptions {
  /** Path of a raw disk image. */
  readonly image: string;
  /** Path of the block device. */
  readonly device: string;
  /** Bytes of a sector of the image. Default 512. */
  readonly sectorSize?: number;
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
}

const blockSize = 4 * 1024 ** 2;
/** An MBR's program and disk signature; what follows is the table. */
const bootCodeSize = 446;

/**
 * Burns the image; what was on the device is lost. Returns the device's size in bytes.
 * @throws ConfigError `not-a-device`, `device-too-small`; EnvironmentError `device-in-use`; IntegrityError
 *   `device-differs` when it does not hold what was written; FormatError for an image without a partition table
 */
export async function burnImage(options: BurnOptions): Promise<number> {
  const { image, device, sectorSize = 512, signal } = options;
  const progress = options.progress ?? silentProgress;
  await using source = await open(image);
  const { size } = await source.stat();
  const tables = await readTable(source, sectorSize);
  await using target = await openDevice(device);
  const space = deviceSize(target, device);
  if (space < size) {
    throw new ConfigError(
      `${device} is too small for the image: expected ${formatSize(size)}, found ${formatSize(space)} (${size - space} bytes less)`,
      { code: "device-too-small", data: { device, expected: size, found: space } },
    );
  }
  // The table comes last: a device whose writing was cut short has none, and nothing starts from it.
  const tail = gptTailSize(sectorSize);
  const regions = tables(space - (space % sectorSize));
  const head = regions[0]?.bytes.length ?? 0;
  {
    using task = progress.start({ label: `write ${device}`, unit: "bytes", total: size });
    await zeroOrWrite(target, Buffer.alloc(head), 0);
    await eachBlock({ source, from: head, to: size - tail, signal }, async (block, at) => {
      if (block.every((byte) => byte === 0)) await zeroOrWrite(target, block, at);
      else await writeAll(target, block, at);
      task.advance(block.length);
    });
    for (const { bytes, offset } of regions.toReversed()) await writeAll(target, bytes, offset);
    await target.sync();
    task.done(formatSize(size));
  }
  {
    using task = progress.start({ label: "read it back", unit: "bytes", total: size });
    dropDeviceCache(target.fd);
    const read = Buffer.alloc(blockSize);
    const compare = async (expected: Uint8Array, at: number): Promise<void> => {
      const found = read.subarray(0, expected.length);
      await target.read(found, 0, found.length, at);
      if (!found.equals(expected)) throw differs(device, expected, found, at);
      task.advance(expected.length);
    };
    await eachBlock({ source, from: head, to: size - tail, signal }, compare);
    for (const { bytes, offset } of regions) await compare(bytes, offset);
    task.done();
  }
  try {
    rereadPartitions(target.fd);
  } catch (error) {
    // The kernel then knows the partitions when the device is plugged in again.
    if (!["EBUSY", "EINVAL", "ENOTTY"].includes(systemErrorCode(error) ?? "")) throw error;
  }
  return space;
}

/** A function that makes the tables of the image for a disk of another size. */
async function readTable(
  source: FileHandle,
  sectorSize: number,
): Promise<(size: number) => readonly { readonly offset: number; readonly bytes: Uint8Array }[]> {
  const head = Buffer.alloc(2 * sectorSize + gptTailSize(sectorSize));
  await source.read(head, 0, head.length, 0);
  const { diskUuid, partitions } = decodeGpt(head, { sectorSize });
  const firstUsable = Math.min(1024 ** 2, ...partitions.map(({ offset }) => offset));
  return (size) => {
    const regions = encodeGpt({ diskUuid, sectorSize, size, partitions, firstUsable });
    // A BIOS starts the program in the first sector.
    regions[0].bytes.set(head.subarray(0, bootCodeSize));
    return regions;
  };
}

async function openDevice(path: string): Promise<FileHandle> {
  try {
    // The kernel refuses O_EXCL for a device that is mounted, or part of something that is.
    return await open(path, constants.O_RDWR | constants.O_EXCL);
  } catch (error) {
    if (systemErrorCode(error) !== "EBUSY") throw error;
    throw new EnvironmentError(`${path} is in use`, {
      code: "device-in-use",
      hint: "unmount what is on it; lsblk shows that",
      data: { device: path },
      cause: error,
    });
  }
}

function deviceSize(target: FileHandle, path: string): number {
  try {
    return getBlockDeviceSize(target.fd);
  } catch (error) {
    if (!["ENOTTY", "EINVAL"].includes(systemErrorCode(error) ?? "")) throw error;
    throw new ConfigError(`${path} is not a block device`, {
      code: "not-a-device",
      hint: "name a whole disk, such as /dev/sdb: lsblk lists them",
      data: { device: path },
      cause: error,
    });
  }
}

async function eachBlock(
  range: {
    readonly source: FileHandle;
    readonly from: number;
    readonly to: number;
    readonly signal: AbortSignal | undefined;
  },
  use: (block: Buffer, at: number) => Promise<void>,
): Promise<void> {
  const buffer = Buffer.alloc(blockSize);
  for (let at = range.from; at < range.to; at += blockSize) {
    throwIfAborted(range.signal);
    const length = Math.min(blockSize, range.to - at);
    const { bytesRead } = await range.source.read(buffer, 0, length, at);
    if (bytesRead !== length)
      throw new EnvironmentError(`the image changed while it was read, at byte ${at}`, { code: "file-changed" });
    await use(buffer.subarray(0, length), at);
  }
}

async function zeroOrWrite(target: FileHandle, zeros: Buffer, at: number): Promise<void> {
  try {
    zeroBlockDevice(target.fd, at, zeros.length);
  } catch (error) {
    if (!["ENOTTY", "EOPNOTSUPP", "EINVAL"].includes(systemErrorCode(error) ?? "")) throw error;
    await writeAll(target, zeros, at);
  }
}

async function writeAll(target: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await target.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

function differs(device: string, expected: Uint8Array, found: Uint8Array, at: number): IntegrityError {
  const index = expected.findIndex((byte, place) => byte !== found[place]);
  return new IntegrityError(`${device} does not hold what was written, from byte ${at + index} on`, {
    code: "device-differs",
    hint: "the device is broken, or smaller than it says",
    data: { device, offset: at + index, expected: expected[index], found: found[index] },
  });
}
