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
import { runTool } from "@imgtool/host";

export interface CompressOptions {
  readonly source: string;
  readonly target: string;
  readonly compression: Compression;
  /** 1 (fast) to 9 (small); zstd goes on to 22. */
  readonly level: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** Compresses `source` to `target` and removes `source`. */
export async function compressFile(options: CompressOptions): Promise<void> {
  const { source, target, compression, progress, signal } = options;
  const level = Math.min(Math.max(options.level, 1), compression === "zstd" ? 22 : 9);
  if (compression === "none") return;
  const { size } = await stat(source);
  using task = progress.start({ label: `compress with ${compression}`, unit: "bytes", total: size });
  const abort = signal === undefined ? {} : { signal };
  if (compression === "xz") {
    // One thread makes other blocks than several do, however many: a fixed number, whatever the machine has.
    // CRC32 is the one check that the Linux kernel knows, and an archive may be its initial RAM disk.
    const command = 'exec xz --stdout --check=crc32 --threads=4 "-$2" "$0" > "$1"';
    await runTool("sh", ["-c", command, source, target, String(level)], abort);
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
