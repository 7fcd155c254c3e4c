/**
 * What is remembered of a directory that was archived: for each chunk what it was made of, so that the
 * next run need not read what has not changed. It is a file of our own; without it, or with one that is
 * damaged, everything is read.
 *
 * Layout, integers little-endian: 16 bytes of magic, the key (32 bytes: what the chunks depend on besides
 * the tree), entries of 100 bytes (start 32, parts 32, id 32, size u32), the SHA-256 of all before.
 * @module
 */
import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { EnvironmentError, errorMessage, type Progress, systemErrorCode } from "@imgtool/core";
import { makeAtomically } from "@imgtool/host";

/** A chunk of a former run. */
export interface CachedChunk {
  /** Fingerprint of the part of the archive that it begins in, and where in it: 32 bytes. */
  readonly start: Buffer;
  /** Fingerprint of everything that it was made of: 32 bytes. */
  readonly parts: Buffer;
  readonly id: Buffer;
  /** Bytes. */
  readonly size: number;
}

const magic = Buffer.from("imgtool cache 1\n", "latin1");
const entrySize = 100;
const sumSize = 32;

/** The chunks of a former run, by where they begin. */
export class MakeCache {
  readonly #path: string;
  readonly #key: Buffer;
  readonly #entries: Buffer;
  readonly #positions = new Map<string, number>();
  #made: Buffer = Buffer.alloc(entrySize * 1024);
  #count = 0;

  private constructor(path: string, key: Buffer, entries: Buffer) {
    this.#path = path;
    this.#key = key;
    this.#entries = entries;
    for (let at = 0; at < entries.length; at += entrySize)
      this.#positions.set(entries.toString("latin1", at, at + 32), at);
  }

  /**
   * Opens the cache for one directory and one way to cut it; a file that cannot be used counts as none.
   * @param folder holds the caches of many directories
   * @param key what the chunks depend on besides the content of the directory: equal keys, equal chunks
   */
  static open(folder: string, key: string, progress: Progress): MakeCache {
    const digest = hash("sha256", key, "buffer");
    const path = `${folder}/${digest.toString("hex", 0, 16)}.make`;
    let content = Buffer.alloc(0);
    try {
      content = readFileSync(path);
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw cacheError(path, error);
    }
    const entries = readEntries(content, digest);
    if (content.length > 0 && entries === undefined)
      progress.log("warning", `the cache ${path} is damaged and not used: everything is read`);
    return new MakeCache(path, digest, entries ?? Buffer.alloc(0));
  }

  /** The chunk of the former run that began so. */
  find(start: Buffer): CachedChunk | undefined {
    const at = this.#positions.get(start.toString("latin1"));
    if (at === undefined) return undefined;
    const part = (from: number): Buffer => this.#entries.subarray(at + from, at + from + 32);
    return { start: part(0), parts: part(32), id: part(64), size: this.#entries.readUInt32LE(at + 96) };
  }

  /** Remembers a chunk of this run. */
  add({ start, parts, size }: Omit<CachedChunk, "id">, id: Uint8Array): void {
    const at = this.#count++ * entrySize;
    if (at + entrySize > this.#made.length) this.#made = Buffer.concat([this.#made, Buffer.alloc(this.#made.length)]);
    this.#made.set(start, at);
    this.#made.set(parts, at + 32);
    this.#made.set(id, at + 64);
    this.#made.writeUInt32LE(size, at + 96);
  }

  /** Replaces the former run's file by this one's. @throws EnvironmentError `cache-not-writable` */
  async save(): Promise<void> {
    const body = Buffer.concat([magic, this.#key, this.#made.subarray(0, this.#count * entrySize)]);
    try {
      await mkdir(dirname(this.#path), { recursive: true });
      await makeAtomically(this.#path, (temporary) =>
        writeFile(temporary, [body, hash("sha256", body, "buffer")], { mode: 0o600 }),
      );
    } catch (error) {
      throw cacheError(this.#path, error);
    }
  }
}

/** The entries of a whole file for the key; undefined for any other. */
function readEntries(content: Buffer, key: Buffer): Buffer | undefined {
  const end = content.length - sumSize;
  const from = magic.length + key.length;
  if (end < from || (end - from) % entrySize !== 0) return undefined;
  if (!content.subarray(0, from).equals(Buffer.concat([magic, key]))) return undefined;
  const body = content.subarray(0, end);
  return hash("sha256", body, "buffer").equals(content.subarray(end)) ? body.subarray(from) : undefined;
}

function cacheError(path: string, cause: unknown): EnvironmentError {
  return new EnvironmentError(`cannot use the cache ${path}: ${errorMessage(cause)}`, {
    code: "cache-not-writable",
    hint: "name another directory with --cache=, or leave it out",
    data: { path },
    cause,
  });
}
