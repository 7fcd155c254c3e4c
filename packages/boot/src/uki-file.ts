/**
 * Writes unified kernel images from files: whatever their size, in memory are the stub and the kernel.
 * @module
 */
import { createReadStream } from "node:fs";
import { open, readFile, rm, stat, type FileHandle } from "node:fs/promises";
import { EnvironmentError, throwIfAborted } from "@imgtool/core";
import { isNxCompatible, layoutUki, ukiSbatSection, ukiSectionNames, type UkiPlacement } from "./uki.ts";

export interface WriteUkiOptions {
  /** Path of the image; whatever is there is replaced. Removed again after an error. */
  readonly output: string;
  /** Path of systemd-stub. */
  readonly stub: string;
  /** Path of the kernel. */
  readonly linux: string;
  /** Paths of initrds, joined in this order, each on a grain of four bytes. */
  readonly initrds: readonly string[];
  /** Content of os-release(5). */
  readonly osRelease: string;
  readonly commandLine?: string;
  /** The kernel's version, as `uname -r` prints it. */
  readonly uname?: string;
  /** Paths of a device tree, a picture (BMP), and a CPU microcode archive. */
  readonly devicetree?: string;
  readonly splash?: string;
  readonly microcode?: string;
  readonly signal?: AbortSignal | undefined;
}

type Source = Uint8Array | readonly string[];

/**
 * Writes an image; returns its size in bytes.
 * @throws as layoutUki; EnvironmentError `file-changed` when a part changes while it is copied
 */
export async function writeUki(options: WriteUkiOptions): Promise<{ size: number }> {
  const stub = await readFile(options.stub);
  const linux = await readFile(options.linux);
  const contents: Readonly<Record<string, Source | undefined>> = {
    ".osrel": text(options.osRelease),
    // Stubs before systemd 252 read on to a NUL.
    ".cmdline": options.commandLine === undefined ? undefined : text(`${options.commandLine}\0`),
    ".dtb": file(options.devicetree),
    ".uname": text(options.uname),
    ".splash": file(options.splash),
    ".linux": linux,
    ".initrd": options.initrds.length === 0 ? undefined : options.initrds,
    ".ucode": file(options.microcode),
    ".sbat": ukiSbatSection(stub, linux),
  };
  const sections: { name: string; source: Source; sizes: readonly number[]; size: number }[] = [];
  for (const name of ukiSectionNames) {
    const source = contents[name];
    if (source === undefined) continue;
    const sizes = source instanceof Uint8Array ? [source.length] : await fileSizes(source);
    // What the kernel finds behind an initrd, it wants on a grain of four.
    const size = sizes.length === 1 ? (sizes[0] ?? 0) : sizes.reduce((sum, one) => sum + roundUp4(one), 0);
    sections.push({ name, source, sizes, size });
  }
  const layout = layoutUki({ stub, sections, nxCompatible: isNxCompatible(linux) });
  const output = await open(options.output, "w");
  try {
    await output.truncate(layout.size);
    await writeAll(output, layout.head, 0);
    for (const [index, { source, sizes }] of sections.entries()) {
      throwIfAborted(options.signal);
      let { offset } = layout.placements[index] as UkiPlacement;
      if (source instanceof Uint8Array) {
        await writeAll(output, source, offset);
        continue;
      }
      for (const [part, path] of source.entries()) {
        const size = sizes[part] as number;
        await copyFile(path, size, output, offset, options.signal);
        offset += roundUp4(size);
      }
    }
    await output.close();
  } catch (error) {
    await output.close();
    await rm(options.output, { force: true });
    throw error;
  }
  return { size: layout.size };
}

function text(value: string | undefined): Uint8Array | undefined {
  return value === undefined ? undefined : new TextEncoder().encode(value);
}

function file(path: string | undefined): Source | undefined {
  return path === undefined ? undefined : [path];
}

async function fileSizes(paths: readonly string[]): Promise<number[]> {
  return await Promise.all(paths.map(async (path) => (await stat(path)).size));
}

async function copyFile(
  path: string,
  size: number,
  output: FileHandle,
  start: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  let done = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 ** 2 })) {
    throwIfAborted(signal);
    const bytes = chunk as Buffer;
    if (done + bytes.length > size) break;
    await writeAll(output, bytes, start + done);
    done += bytes.length;
  }
  if (done !== size)
    throw new EnvironmentError(`${path} changed while it was copied: expected ${size} bytes, found ${done}`, {
      code: "file-changed",
      data: { path, expected: size, found: done },
    });
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

function roundUp4(size: number): number {
  return Math.ceil(size / 4) * 4;
}
