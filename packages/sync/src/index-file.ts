/**
 * Index files on disk: written piece by piece as chunks become known, read whole.
 * @module
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { open, writeFile } from "node:fs/promises";
import { EnvironmentError, errorMessage, FormatError, NotFoundError, systemErrorCode } from "@imgtool/core";
import { type ChunkSizes, IndexEncoder } from "@imgtool/chunker";
import { StoreCipher, type StoreKey } from "@imgtool/store";

const entrySize = 40;
const bufferedEntries = 2048;

/** Writes an index to a file; disposing closes the file. */
export class IndexFileWriter implements Disposable {
  readonly #encoder: IndexEncoder;
  readonly #buffer = new Uint8Array(bufferedEntries * entrySize);
  readonly #path: string;
  readonly #descriptor: number;
  #buffered = 0;
  #closed = false;

  /** @throws EnvironmentError `index-not-writable`, `no-space` */
  constructor(path: string, flags: bigint, sizes: ChunkSizes) {
    this.#encoder = new IndexEncoder(flags, sizes);
    this.#path = path;
    try {
      this.#descriptor = openSync(path, "w");
    } catch (error) {
      throw this.#failure(error);
    }
    try {
      this.#write(this.#encoder.head());
    } catch (error) {
      closeSync(this.#descriptor);
      throw error;
    }
  }

  /** Adds the next chunk: its length in bytes and its 32-byte id. */
  add(size: number, id: Uint8Array): void {
    this.#encoder.entryInto(this.#buffer, this.#buffered, size, id);
    this.#buffered += entrySize;
    if (this.#buffered === this.#buffer.length) this.#flushBuffer();
  }

  /** Writes what is left and the tail. */
  finish(): void {
    this.#flushBuffer();
    this.#write(this.#encoder.tail());
  }

  [Symbol.dispose](): void {
    if (!this.#closed) closeSync(this.#descriptor);
    this.#closed = true;
  }

  #flushBuffer(): void {
    this.#write(this.#buffer.subarray(0, this.#buffered));
    this.#buffered = 0;
  }

  #write(bytes: Uint8Array): void {
    try {
      for (let offset = 0; offset < bytes.length;) offset += writeSync(this.#descriptor, bytes, offset);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(error: unknown): EnvironmentError {
    if (error instanceof EnvironmentError) return error;
    const reason = systemErrorCode(error);
    const noSpace = reason === "ENOSPC" || reason === "EDQUOT";
    return new EnvironmentError(`cannot write the index ${this.#path}: ${errorMessage(error)}`, {
      code: noSpace ? "no-space" : "index-not-writable",
      ...(noSpace ? { hint: "free space on the file system of the index" } : {}),
      data: { file: this.#path, reason },
      cause: error,
    });
  }
}

/** Encrypts an index file in its place: for files that have no final name yet. */
export async function sealIndexFile(path: string, key: StoreKey): Promise<void> {
  await writeFile(path, new StoreCipher(key).sealIndex(await readIndexBytes(path)));
}

/** Largest index that is read: some 13 million chunks, 800 GiB of content at casync's chunk sizes. */
export const maxIndexBytes: number = 512 * 1024 ** 2;

function tooLarge(path: string, found: number): FormatError {
  return new FormatError(`${path}: the index has ${found} bytes or more, expected at most ${maxIndexBytes}`, {
    code: "index-too-large",
    data: { file: path, expected: maxIndexBytes, found },
  });
}

/**
 * The bytes of an index file.
 * @throws NotFoundError `index-missing`; EnvironmentError `index-not-readable`; FormatError `index-too-large`
 */
export async function readIndexBytes(path: string): Promise<Uint8Array> {
  let handle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw unreadable(path, error);
    throw new NotFoundError(`there is no index at ${path}`, {
      code: "index-missing",
      data: { file: path },
      cause: error,
    });
  }
  try {
    const { size } = await handle.stat();
    if (size > maxIndexBytes) throw tooLarge(path, size);
    // Devices and pipes have no size to tell, and may never end.
    const pieces: Buffer[] = [];
    let length = 0;
    for await (const piece of handle.createReadStream({
      autoClose: false,
      highWaterMark: 1024 ** 2,
    }) as AsyncIterable<Buffer>) {
      length += piece.length;
      if (length > maxIndexBytes) throw tooLarge(path, length);
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  } catch (error) {
    if (systemErrorCode(error) === "EISDIR") throw unreadable(path, error);
    throw error;
  } finally {
    await handle.close();
  }
}

function unreadable(path: string, error: unknown): EnvironmentError {
  return new EnvironmentError(`cannot read the index ${path}: ${errorMessage(error)}`, {
    code: "index-not-readable",
    data: { file: path },
    cause: error,
  });
}
