/**
 * A tar archive that can be read at any offset: a plain file as it is, what is compressed or comes as a
 * stream through an unnamed temporary file, so that it takes disk and not memory.
 * @module
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, NotFoundError, systemErrorCode, throwIfAborted } from "@imgtool/core";
import { decompressStream, sniffCodec } from "@imgtool/store";
import type { TarInput } from "@imgtool/tar";

export interface OpenedTar extends TarInput, AsyncDisposable {
  /** Bytes, uncompressed. */
  readonly size: number;
}

/** Opens a file in place, unless it is compressed. @throws NotFoundError `source-missing` */
export async function openTarFile(path: string, signal?: AbortSignal): Promise<OpenedTar> {
  const handle = await openFile(path);
  const head = await handle.read(Buffer.alloc(6), 0, 6, 0);
  const isSeekable = (await handle.stat()).isFile();
  if (isSeekable && sniffCodec(head.buffer.subarray(0, head.bytesRead)) === undefined) return opened(handle);
  try {
    return await spoolTar(pieces(handle), signal);
  } finally {
    await handle.close();
  }
}

/** Takes a stream, compressed or not, into a temporary file. @throws FormatError `compressed-invalid` */
export async function spoolTar(bytes: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<OpenedTar> {
  // As casync's temporary files: /tmp may be memory.
  const path = join(process.env["TMPDIR"] || "/var/tmp", `.imgtool-tar-${randomBytes(8).toString("hex")}`);
  const handle = await open(path, "wx+", 0o600);
  try {
    await unlink(path);
    for await (const piece of decompressStream(bytes)) {
      throwIfAborted(signal);
      await handle.writeFile(piece);
    }
    return await opened(handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** How forms begin that hold a tar, or something like it, and are not read. */
const foreign: Readonly<Record<string, { readonly magic: string; readonly program: string }>> = {
  bzip2: { magic: "BZh", program: "bzip2 -dc" },
  lzip: { magic: "LZIP", program: "lzip -dc" },
  lz4: { magic: "\x04\x22\x4d\x18", program: "lz4 -dc" },
  zip: { magic: "PK\x03\x04", program: "bsdtar -cf - @" },
};

/** Refuses what is compressed in a way that is not read. @throws ConfigError `compression-unsupported` */
export function refuseForeign(head: Uint8Array, path: string): void {
  const text = Buffer.from(head).toString("latin1");
  for (const [name, { magic, program }] of Object.entries(foreign)) {
    if (!text.startsWith(magic)) continue;
    throw new ConfigError(`${path} is compressed with ${name}: expected a tar, plain or with zstd, xz or gzip`, {
      code: "compression-unsupported",
      hint: `hand it in decompressed: ${program}${program.endsWith("@") ? "" : " "}${path} | imgtool make INDEX -`,
      data: { path, expected: ["none", "zstd", "xz", "gzip"], found: name },
    });
  }
}

async function opened(handle: FileHandle): Promise<OpenedTar> {
  const { size } = await handle.stat();
  const cache = new ReadAhead(handle);
  return {
    size,
    read: (offset, length) => cache.read(offset, length),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

const window: number = 256 * 1024;

/** Headers are 512 bytes, mostly one behind the other: they are read many at once. */
class ReadAhead {
  readonly #handle: FileHandle;
  #start = 0;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const from = offset - this.#start;
    if (from >= 0 && from + length <= this.#bytes.length) return this.#bytes.subarray(from, from + length);
    const buffer = new Uint8Array(Math.max(length, length <= 4096 ? window : 0));
    let filled = 0;
    while (filled < buffer.length) {
      const { bytesRead } = await this.#handle.read(buffer, filled, buffer.length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    if (length <= 4096) {
      this.#start = offset;
      this.#bytes = buffer.subarray(0, filled);
    }
    return buffer.subarray(0, Math.min(length, filled));
  }
}

async function* pieces(handle: FileHandle): AsyncGenerator<Uint8Array, void> {
  for (let position = 0; ;) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(1024 ** 2), 0, 1024 ** 2, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    throw new NotFoundError(`there is no file at ${path}`, {
      code: "source-missing",
      data: { file: path },
      cause: error,
    });
  }
}
