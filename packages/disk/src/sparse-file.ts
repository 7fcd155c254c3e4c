/**
 * Sequential writes into a sparse file: neighbouring pieces are joined to large writes, and blocks of
 * zeros are left as holes.
 * @module
 */
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { EnvironmentError, errorMessage, ImgtoolError, systemErrorCode } from "@imgtool/core";

const bufferSize = 4 * 1024 ** 2;
const grain = 65_536;
const zeros = Buffer.alloc(grain);

/** Turns an error of a write into one that says what the machine lacks. */
export function writeError(path: string, error: unknown): unknown {
  const code = systemErrorCode(error);
  if (code === undefined || error instanceof ImgtoolError) return error;
  if (code === "ENOSPC" || code === "EDQUOT") return noSpace(path, error);
  return new EnvironmentError(`cannot write ${path}: ${errorMessage(error)}`, {
    code: "write-failed",
    data: { path, errno: code },
    cause: error,
  });
}

/** The error for a full disk. */
export function noSpace(path: string, cause: unknown): EnvironmentError {
  return new EnvironmentError(`no space left to write ${path}`, {
    code: "no-space",
    data: { path },
    hint: "free some space, or choose another workspace directory",
    cause,
  });
}

/** Where a file system writer puts its bytes: a file, or a part of a disk image. What is not written is zero. */
export interface BlockWriter {
  write(offset: number, bytes: Uint8Array): void;
  /** A part of a buffer, at most `length` bytes, that will be written at `offset`: the caller fills all of it. */
  room(offset: number, length: number): Uint8Array;
}

export class SparseFile implements BlockWriter, Disposable {
  readonly path: string;
  readonly fd: number;
  readonly #buffer = Buffer.alloc(bufferSize);
  #start = 0;
  #used = 0;
  #closed = false;

  /** Opens the file anew, or with `keep` as it is. */
  constructor(path: string, options: { readonly keep?: boolean } = {}) {
    this.path = path;
    try {
      this.fd = openSync(path, options.keep === true ? "r+" : "w+", 0o644);
    } catch (error) {
      throw writeError(path, error);
    }
  }

  setSize(size: number): void {
    this.flush();
    try {
      ftruncateSync(this.fd, size);
    } catch (error) {
      throw writeError(this.path, error);
    }
  }

  /** Writes bytes at an offset; zeros among them may be left out, so what is there must be zero before. */
  write(offset: number, bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      const room = this.room(offset + at, bytes.length - at);
      room.set(bytes.subarray(at, at + room.length));
      at += room.length;
    }
  }

  /** A part of the buffer, at most `length` bytes, that will be written at `offset`: the caller fills all of it. */
  room(offset: number, length: number): Buffer {
    if (this.#used > 0 && (offset !== this.#start + this.#used || this.#used === bufferSize)) this.flush();
    if (this.#used === 0) this.#start = offset;
    const room = this.#buffer.subarray(this.#used, Math.min(bufferSize, this.#used + length));
    this.#used += room.length;
    return room;
  }

  /** A writer whose offset 0 is the file's `start`; `onBytes` is told how many bytes come. */
  window(start: number, onBytes: (count: number) => void = () => {}): BlockWriter {
    return {
      write: (offset, bytes) => {
        this.write(start + offset, bytes);
        onBytes(bytes.length);
      },
      room: (offset, length) => {
        const room = this.room(start + offset, length);
        onBytes(room.length);
        return room;
      },
    };
  }

  flush(): void {
    const used = this.#used;
    this.#used = 0;
    let from = 0;
    const put = (to: number): void => {
      while (from < to) {
        try {
          from += writeSync(this.fd, this.#buffer, from, to - from, this.#start + from);
        } catch (error) {
          throw writeError(this.path, error);
        }
      }
    };
    for (let at = 0; at < used; at += grain) {
      const end = Math.min(used, at + grain);
      if (this.#buffer.compare(zeros, 0, end - at, at, end) !== 0) continue;
      put(at);
      from = end;
    }
    put(used);
  }

  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    closeSync(this.fd);
  }

  /** Closes without writing what is still in the buffer: after an error. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.fd);
  }
}
