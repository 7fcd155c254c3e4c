/**
 * What the parts of a make and of an extraction cost on one processor: the sum, shared by all processors, is
 * what no arrangement of them can fall below.
 * @module
 */
import { hash } from "node:crypto";
import { closeSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { chunkSizes, Cutter, CutterMemory } from "@imgtool/chunker";
import { compressChunk, decompressChunk } from "@imgtool/store/blocking";

/** A part, and its processor seconds for a GiB: the least of several rounds. */
export interface Limit {
  readonly part: string;
  readonly secondsPerGibibyte: number;
  /** What it is part of. */
  readonly make: boolean;
  readonly extract: boolean;
}

const sampleSize: number = 64 * 1024 ** 2;
const chunkSize: number = 64 * 1024;
const rounds = 7;

/**
 * Measures the parts on the beginning of a file, of at least 64 MiB.
 * @param work folder on tmpfs for what is written
 */
export function measureLimits(input: string, work: string): Limit[] {
  const memory = new CutterMemory(sampleSize);
  const descriptor = openSync(input, "r");
  const readAll = (): void => {
    for (let at = 0; at < sampleSize; at += 1024 ** 2) readSync(descriptor, memory.bytes, at, 1024 ** 2, at);
  };
  const read = least(readAll);
  closeSync(descriptor);
  const cutter = new Cutter(chunkSizes(), memory);
  const cut = least(() => {
    cutter.reset();
    for (let from = 0, end = 0; end >= 0; from += end) end = cutter.next(memory.bytes, from);
  });
  const chunks = Array.from({ length: sampleSize / chunkSize }, (_, k) =>
    Buffer.from(memory.bytes.subarray(k * chunkSize, (k + 1) * chunkSize)),
  );
  const digest = least(() => {
    for (const chunk of chunks) hash("sha512-256", chunk, "hex");
  });
  const stored = chunks.map((chunk) => compressChunk(chunk, "zstd"));
  const decompress = least(() => {
    for (const chunk of stored) decompressChunk(chunk, chunkSize);
  });
  const output = join(work, "limits");
  const write = least(() => {
    const target = openSync(output, "w");
    for (const chunk of chunks) writeSync(target, chunk);
    closeSync(target);
    unlinkSync(output);
  });
  const limit = (part: string, seconds: number, make: boolean, extract: boolean): Limit => ({
    part,
    secondsPerGibibyte: (seconds * 1024 ** 3) / sampleSize,
    make,
    extract,
  });
  return [
    limit("reading the source from tmpfs", read, true, false),
    limit("cutting", cut, true, false),
    limit("SHA-512/256 of every chunk (OpenSSL)", digest, true, true),
    limit("decompressing zstd", decompress, false, true),
    limit("writing the output to tmpfs", write, false, true),
  ];
}

/** Processor seconds of the fastest round. */
function least(work: () => void): number {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1e6);
  }
  return best;
}
