/**
 * What a blob is extracted to: a file with holes where there are zeros, or a block device or other
 * special file that is written in place.
 * @module
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { EnvironmentError, formatSize, systemErrorCode } from "@imgtool/core";
import { getBlockDeviceSize } from "@imgtool/host";
import { changedExtents, dataExtents } from "./data-extents.ts";
import { outputError } from "./output-error.ts";

/** How bytes are written: all of them, all but pages of zeros, or only pages that change. */
type WriteMode = "all" | "sparse" | "changes";

/** Takes the bytes of a blob in any order. */
export class BlobOutput implements AsyncDisposable {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #mode: WriteMode;

  private constructor(path: string, handle: FileHandle, mode: WriteMode) {
    this.path = path;
    this.#handle = handle;
    this.#mode = mode;
  }

  /**
   * A file that is there gets the final size; what it does not have reads as zeros.
   * @throws EnvironmentError `output-not-writable`, `no-space`
   */
  static async openFile(path: string, size: number, sparse: boolean): Promise<BlobOutput> {
    return guard(path, async () => {
      const handle = await open(path, "r+");
      try {
        await handle.truncate(size);
      } catch (error) {
        await handle.close();
        throw error;
      }
      return new BlobOutput(path, handle, sparse ? "sparse" : "all");
    });
  }

  /**
   * A device or other special file as it is: of a block device, pages that have the right bytes are not
   * written again.
   * @throws EnvironmentError `output-too-small`, before anything is written; `output-not-writable`
   */
  static async openInPlace(path: string, size: number): Promise<BlobOutput> {
    return guard(path, async () => {
      const handle = await open(path, constants.O_RDWR);
      try {
        const isBlockDevice = (await handle.stat()).isBlockDevice();
        const available = isBlockDevice ? getBlockDeviceSize(handle.fd) : Infinity;
        if (available < size) throw tooSmall(path, available, size);
        return new BlobOutput(path, handle, isBlockDevice ? "changes" : "all");
      } catch (error) {
        await handle.close();
        throw error;
      }
    });
  }

  get descriptor(): number {
    return this.#handle.fd;
  }

  /** Whether zeros need not be written. */
  get sparse(): boolean {
    return this.#mode === "sparse";
  }

  /** Whether there is other content than zeros. */
  get hasFormerContent(): boolean {
    return this.#mode === "changes";
  }

  /** Writes the bytes at an offset; what is there already is left out. */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    for (const [from, to] of await this.#extents(bytes, offset))
      await this.#writeAll(bytes.subarray(from, to), offset + from);
  }

  /** The bytes at an offset, fewer where the output ends. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    return guard(this.path, async () => {
      const bytes = new Uint8Array(length);
      let filled = 0;
      for (let count = -1; count !== 0 && filled < length; filled += count)
        count = (await this.#handle.read(bytes, filled, length - filled, offset + filled)).bytesRead;
      return bytes.subarray(0, filled);
    });
  }

  /** Flushes what is written to the disk. */
  async flush(): Promise<void> {
    await guard(this.path, async () => {
      try {
        await this.#handle.sync();
      } catch (error) {
        // character devices have nothing to flush
        if (systemErrorCode(error) !== "EINVAL") throw error;
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }

  async #extents(bytes: Uint8Array, offset: number): Promise<readonly (readonly [number, number])[]> {
    if (this.#mode === "all") return [[0, bytes.length]];
    if (this.#mode === "sparse") return dataExtents(bytes, offset);
    return changedExtents(bytes, await this.read(offset, bytes.length), offset);
  }

  async #writeAll(bytes: Uint8Array, offset: number): Promise<void> {
    await guard(this.path, async () => {
      for (let done = 0; done < bytes.length;) {
        done += (await this.#handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
      }
    });
  }
}

function tooSmall(path: string, available: number, size: number): EnvironmentError {
  const missing = size - available;
  return new EnvironmentError(
    `${path} is too small: the blob has ${size} bytes, the device ${available}; ${missing} bytes (${formatSize(missing)}) do not fit`,
    {
      code: "output-too-small",
      hint: "nothing was written; name a larger device, or make it larger",
      data: { file: path, expected: size, found: available, missing },
    },
  );
}

/** Runs file operations; what the system says becomes an error that names the output. */
async function guard<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw outputError(error, path);
  }
}
