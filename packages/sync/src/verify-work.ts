/**
 * The checks of single chunks, synchronously: for worker threads.
 * @module
 */
import { hash } from "node:crypto";
import { readSync } from "node:fs";
import { ConfigError, errorMessage, ImgtoolError, toHex } from "@imgtool/core";
import type { DigestAlgorithm } from "@imgtool/chunker";
import type { LocalStorePlace, StoredChunk } from "@imgtool/store";
import {
  decompressChunk,
  isSealedChunk,
  listFolder,
  maxChunkBytes,
  maxSealedBytes,
  maxStoredBytes,
  openChunk,
  type StoreCipher,
  type SyncLocalStore,
  type SyncStore,
} from "@imgtool/store/blocking";
import type { ExtractPlan } from "./extract-plan.ts";
import type { Problem } from "./verify-problem.ts";

/** What the threads are to check; each takes the next item that no other has taken. */
export type VerifyJob =
  /** Every different chunk of an index in a local store. */
  | {
      readonly kind: "chunks";
      readonly plan: ExtractPlan;
      readonly digest: DigestAlgorithm;
      readonly store: LocalStorePlace;
    }
  /** Every chunk's bytes in a file, or those of some chunks. */
  | {
      readonly kind: "file";
      readonly plan: ExtractPlan;
      readonly digest: DigestAlgorithm;
      readonly path: string;
      readonly chunks?: Int32Array<SharedArrayBuffer>;
    }
  /** Everything in the folders of a local store. */
  | { readonly kind: "store"; readonly store: LocalStorePlace; readonly folders: readonly string[] };

/** What the check of an item came to. */
export interface Checked {
  readonly chunks: number;
  /** Plain bytes. */
  readonly bytes: number;
  readonly problems: readonly Problem[];
}

/** Items in a job. */
export function jobLength(job: VerifyJob): number {
  if (job.kind === "store") return job.folders.length;
  return job.kind === "chunks" ? job.plan.firsts.length : (job.chunks ?? job.plan.ends).length;
}

interface Place {
  readonly chunk: string;
  readonly position: number;
  readonly offset: number;
  readonly size: number;
}

function placeOf(plan: ExtractPlan, position: number): Place {
  const offset = position === 0 ? 0 : (plan.ends[position - 1] ?? 0);
  const size = (plan.ends[position] ?? 0) - offset;
  return { chunk: toHex(plan.ids.subarray(position * 32, (position + 1) * 32)), position, offset, size };
}

/** The problem that a failed read of a chunk is. Errors of the machine are thrown on. */
export function chunkProblem(error: unknown, place: Place): Problem {
  if (!(error instanceof ImgtoolError) || (error.exitCode !== 3 && error.exitCode !== 4)) throw error;
  const { code, message } = error;
  const known = code === "chunk-missing" || code === "store-entry-invalid" ? code : "chunk-altered";
  return { code: known, message: `chunk ${place.position} at offset ${place.offset}: ${message}`, ...place };
}

/** Checks chunk `firsts[item]` of an index in a store. */
export function checkStored(
  job: Extract<VerifyJob, { kind: "chunks" }>,
  store: SyncStore,
  item: number,
): Checked | "missing" {
  const place = placeOf(job.plan, job.plan.firsts[item] ?? 0);
  try {
    const stored = store.get(place.chunk, maxStoredBytes(place.size));
    if (stored === undefined) return "missing";
    openChunk(stored, place.chunk, place.size, job.digest, store.location);
    return { chunks: 1, bytes: place.size, problems: [] };
  } catch (error) {
    return { chunks: 1, bytes: place.size, problems: [chunkProblem(error, place)] };
  }
}

/** Checks the bytes of the job's chunk number `item` in an open file. What lies behind the file's end is not reported. */
export function checkInFile(job: Extract<VerifyJob, { kind: "file" }>, descriptor: number, item: number): Checked {
  const place = placeOf(job.plan, job.chunks === undefined ? item : (job.chunks[item] ?? 0));
  const bytes = Buffer.allocUnsafe(place.size);
  let filled = 0;
  while (filled < place.size) {
    const count = readSync(descriptor, bytes, filled, place.size - filled, place.offset + filled);
    // one problem of the file's size says the same
    if (count === 0) return { chunks: 1, bytes: filled, problems: [] };
    filled += count;
  }
  const found = hash(job.digest, bytes, "hex");
  if (found === place.chunk) return { chunks: 1, bytes: place.size, problems: [] };
  const message = `${job.path}, offset ${place.offset}: ${place.size} bytes are not those of chunk ${place.position}: expected the ${job.digest} digest ${place.chunk}, found ${found}`;
  return {
    chunks: 1,
    bytes: place.size,
    problems: [{ code: "content-differs", message, path: job.path, ...place }],
  };
}

/** Most chunks are far smaller than they may be: memory for the largest is only taken when one is there. */
const usualChunk = 1024 ** 2;

/** Checks everything in a folder of a store. Without an index either digest may be a chunk's name. */
export function checkFolder(
  job: Extract<VerifyJob, { kind: "store" }>,
  store: SyncLocalStore,
  cipher: StoreCipher | undefined,
  item: number,
): Checked {
  const folder = job.folders[item] ?? "";
  const problems: Problem[] = [];
  let [chunks, bytes] = [0, 0];
  for (const entry of listFolder(job.store.directory, folder)) {
    if (entry.kind === "stray") {
      problems.push({
        code: "stray",
        message: `${entry.path} does not belong here: ${entry.reason}`,
        path: entry.path,
      });
    }
    if (entry.kind !== "chunk") continue;
    chunks++;
    const { name: chunk, path } = entry;
    const bad = (code: Problem["code"], reason: string): void => {
      problems.push({ code, message: `${path}: ${reason}`, path, chunk });
    };
    if (entry.bytes === 0) {
      bad("chunk-altered", "expected a chunk, found an empty file");
      continue;
    }
    try {
      const found = store.read(chunk, entry.compressed, maxSealedBytes(maxStoredBytes()));
      // gone since the folder was read
      if (found === undefined) continue;
      const checked = checkNamed(found, { chunk, path, cipher, store: job.store.directory });
      bytes += checked.bytes;
      if (checked.reason !== undefined) bad("chunk-altered", checked.reason);
    } catch (error) {
      bad(namedProblem(error), errorMessage(error));
    }
  }
  return { chunks, bytes, problems };
}

export interface NamedChunk {
  /** What the store calls it. */
  readonly chunk: string;
  readonly path: string;
  readonly cipher: StoreCipher | undefined;
  readonly store: string;
}

/**
 * Checks that a chunk is what its name says.
 * @returns its plain bytes, and why it is not
 * @throws ConfigError `store-encrypted`; FormatError for what cannot be decompressed or decrypted
 */
export function checkNamed(
  found: StoredChunk,
  { chunk, path, cipher, store }: NamedChunk,
): { readonly bytes: number; readonly reason: string | undefined } {
  const stored = cipher?.openStored(chunk, found, { what: "the chunk", data: { chunk, path } }) ?? found;
  if (cipher === undefined && isSealedChunk(found.bytes)) throw encryptedStore(store);
  let plain: Uint8Array;
  try {
    plain = decompressChunk(stored, usualChunk);
  } catch (error) {
    if (!(error instanceof ImgtoolError) || error.code !== "inflates-too-far") throw error;
    plain = decompressChunk(stored, maxChunkBytes);
  }
  const digest = hash("sha512-256", plain, "hex");
  const nameOf = (name: string): string => cipher?.storedName(name) ?? name;
  const isIt = nameOf(digest) === chunk || nameOf(hash("sha256", plain, "hex")) === chunk;
  const reason = `expected content with the digest ${chunk}, found ${nameOf(digest)} (sha512-256)`;
  return { bytes: plain.length, reason: isIt ? undefined : reason };
}

/** What is wrong with a chunk that could not be read or checked. Errors of the machine are thrown on. */
export function namedProblem(error: unknown): Problem["code"] {
  if (!(error instanceof ImgtoolError) || error.exitCode !== 3) throw error;
  return error.code === "store-entry-invalid" ? error.code : "chunk-altered";
}

function encryptedStore(store: string): ConfigError {
  return new ConfigError(`the store ${store} is encrypted`, {
    code: "store-encrypted",
    hint: "name its key: --key",
    data: { store },
  });
}
