/**
 * What a blob is extracted to: a new file with holes where there are zeros, or a block device or
 * other special file that is written in place.
 * @module
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { EnvironmentError, systemErrorCode } from "@imgtool/core";
import { dataExtents } from "./data-extents.ts";
import { outputError } from "./output-error.ts";

/** Takes the bytes of a blob in any order. */
export class BlobOutput implements AsyncDisposable {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #sparse: boolean;

  private constructor(path: string, handle: FileHandle, sparse: boolean) {
    this.#path = path;
    this.#handle = handle;
    this.#sparse = sparse;
  }

  /**
   * A new file of the final size that is one hole.
   * @throws EnvironmentError `output-not-writable`, `no-space`
   */
  static async create(path: string, size: number, sparse: boolean): Promise<BlobOutput> {
    return guard(path, async () => {
      const handle = await open(path, "wx", 0o666);
      const output = new BlobOutput(path, handle, sparse);
      try {
        await handle.truncate(size);
      } catch (error) {
        await handle.close();
        throw error;
      }
      return output;
    });
  }

  /**
   * A device or other special file as it is; zeros are written as well, since it has other content.
   * @throws EnvironmentError `output-too-small`, `output-not-writable`
   */
  static async openInPlace(path: string, size: number): Promise<BlobOutput> {
    return guard(path, async () => {
      const handle = await open(path, constants.O_RDWR);
      const isBlockDevice = (await handle.stat()).isBlockDevice();
      if (isBlockDevice && size > 0 && (await handle.read(new Uint8Array(1), 0, 1, size - 1)).bytesRead === 0) {
        await handle.close();
        throw new EnvironmentError(`${path} is smaller than the blob of ${size} bytes`, {
          code: "output-too-small",
          data: { file: path, expected: size },
        });
      }
      return new BlobOutput(path, handle, false);
    });
  }

  /** Whether zeros need not be written. */
  get sparse(): boolean {
    return this.#sparse;
  }

  /** Writes the bytes at an offset; pages of zeros are left out where the output is sparse. */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    if (!this.#sparse) return this.#writeAll(bytes, offset);
    for (const [from, to] of dataExtents(bytes, offset)) await this.#writeAll(bytes.subarray(from, to), offset + from);
  }

  /** Flushes what is written to the disk. */
  async flush(): Promise<void> {
    await guard(this.#path, async () => {
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

  async #writeAll(bytes: Uint8Array, offset: number): Promise<void> {
    await guard(this.#path, async () => {
      for (let done = 0; done < bytes.length;) {
        done += (await this.#handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
      }
    });
  }
}

/** Runs file operations; what the system says becomes an error that names the output. */
async function guard<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw outputError(error, path);
  }
}
