/**
 * Files here that are copies of files elsewhere.
 * @module
 */
import { type FileHandle, open } from "node:fs/promises";
import { storeError } from "./local-errors.ts";

/** What helps where such a file has no room. */
export const fileSpaceHint =
  "free space on its file system (df), or set TMPDIR to a folder on a larger one for temporary files";

/** Takes a copy piece by piece, behind each other. */
export class CopiedFile implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #path: string;

  private constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  /** Begins a file anew. @throws EnvironmentError */
  static async create(path: string): Promise<CopiedFile> {
    try {
      return new CopiedFile(await open(path, "w"), path);
    } catch (error) {
      throw storeError(error, "write", path, fileSpaceHint);
    }
  }

  /** @throws EnvironmentError `no-space`, `store-failed` */
  async write(piece: Uint8Array): Promise<void> {
    try {
      await this.#handle.writeFile(piece);
    } catch (error) {
      throw storeError(error, "write", this.#path, fileSpaceHint);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
