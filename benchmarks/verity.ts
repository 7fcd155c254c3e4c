/**
 * dm-verity: the hash tree of 4 GiB beside what the processors can hash at most, and veritysetup.
 * @module
 */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { makeVerity } from "@imgtool/disk";
import { findProgram } from "@imgtool/testkit";

export interface VerityResults {
  /** Bytes of data. */
  readonly size: number;
  readonly seconds: number;
  readonly veritysetupSeconds: number | undefined;
  /** Bytes per second of `openssl speed`, times the processors. */
  readonly limit: number;
}

const size = 4 * 1024 ** 3;

/** Measures on a file in `work`, which is on tmpfs. */
export async function measureVerity(work: string, rounds: number): Promise<VerityResults> {
  const [data, output] = [join(work, "verity.data"), join(work, "verity.tree")];
  fill(data);
  const seconds: number[] = [];
  const peer: number[] = [];
  const limits: number[] = [];
  for (let round = 0; round < rounds; round++) {
    limits.push(opensslRate());
    const started = performance.now();
    const salt = new Uint8Array(32).fill(1);
    await makeVerity({ data, dataSize: size, output, uuid: "00000000-0000-4000-8000-000000000000", salt });
    seconds.push((performance.now() - started) / 1000);
    if (findProgram("veritysetup") === undefined) continue;
    const before = performance.now();
    rmSync(output);
    const { status, stderr } = spawnSync("veritysetup", ["format", data, output], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
    peer.push((performance.now() - before) / 1000);
    rmSync(output);
  }
  for (const path of [data, output]) rmSync(path, { force: true });
  return {
    size,
    seconds: middle(seconds),
    veritysetupSeconds: peer.length === 0 ? undefined : middle(peer),
    limit: middle(limits),
  };
}

/** Nothing in it repeats as a hole or a page of zeros would. */
function fill(path: string): void {
  const file = openSync(path, "w");
  const block = Buffer.alloc(16 * 1024 ** 2);
  for (let at = 0; at < block.length; at += 4) block.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
  for (let at = 0; at < size; at += block.length) {
    block.writeUInt32LE(at / block.length, 0);
    writeSync(file, block);
  }
  closeSync(file);
}

/** SHA-256 of blocks of 4096 bytes on one processor, times their number. */
function opensslRate(): number {
  const { stdout } = spawnSync("openssl", ["speed", "-mr", "-seconds", "3", "-bytes", "4096", "-evp", "sha256"], {
    encoding: "utf8",
  });
  const rate = Number(/^\+F:\d+:sha256:([\d.]+)/im.exec(stdout)?.[1]);
  if (!(rate > 0)) throw new Error(`openssl speed printed ${stdout}`);
  return rate * availableParallelism();
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
