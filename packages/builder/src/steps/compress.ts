/**
 * Compresses an output file so that the same input gives the same bytes on every machine.
 * @module
 */
import { createReadStream, createWriteStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import type { Compression } from "@imgtool/config";
import { formatSize, type Progress } from "@imgtool/core";
import { requireTool, runTool } from "@imgtool/host";

export interface CompressOptions {
  readonly source: string;
  readonly target: string;
  readonly compression: Compression;
  /** 1 (fast) to 9 (small); zstd goes on to 22. */
  readonly level: number;
  /** Whether it may be the Linux kernel that decompresses it. Default false. */
  readonly forKernel?: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** The program that compresses, for what Node.js does not. */
export const compressors: Readonly<Partial<Record<Compression, string>>> = {
  xz: "xz",
  bz2: "bzip2",
  lz4: "lz4",
  lzma: "xz",
};

/** The program's arguments, besides the level. */
function compressorArguments(compression: Compression, forKernel: boolean): string[] {
  switch (compression) {
    case "xz":
      // One thread makes other blocks than several do, however many: a fixed number, whatever the machine has.
      // CRC32 is the one check that the Linux kernel knows, and an archive may be its initial RAM disk.
      return ["--check=crc32", "--threads=4"];
    case "lzma":
      return ["--format=lzma"];
    case "lz4":
      // The kernel knows the older form alone, which has no checksum.
      return forKernel ? ["-q", "-l"] : ["-q"];
    default:
      return [];
  }
}

/** Compresses `source` to `target` and removes `source`. */
export async function compressFile(options: CompressOptions): Promise<void> {
  const { source, target, compression, progress, signal } = options;
  const level = Math.min(Math.max(options.level, 1), compression === "zstd" ? 22 : 9);
  if (compression === "none") return;
  const { size } = await stat(source);
  using task = progress.start({ label: `compress with ${compression}`, unit: "bytes", total: size });
  const abort = signal === undefined ? {} : { signal };
  const program = compressors[compression];
  if (program !== undefined) {
    const words = [...compressorArguments(compression, options.forKernel === true), `-${level}`, "-c"];
    const command = 'from=$1 to=$2; shift 2; exec "$0" "$@" < "$from" > "$to"';
    await runTool("sh", ["-c", command, await requireTool(program), source, target, ...words], abort);
  } else {
    const counter = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        task.advance(chunk.length);
        done(null, chunk);
      },
    });
    const compressor =
      compression === "zstd"
        ? createZstdCompress({
            params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
          })
        : createGzip({ level });
    await pipeline(
      createReadStream(source, { highWaterMark: 1024 ** 2 }),
      counter,
      compressor,
      createWriteStream(target),
      abort,
    );
  }
  await rm(source);
  task.done(`${formatSize(size)} to ${formatSize((await stat(target)).size)}`);
}
