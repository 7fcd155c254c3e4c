/**
 * Writes EFI programs with further sections from files: whatever their size, in memory are the stub and
 * what is given as bytes.
 * @module
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rm, stat, type FileHandle } from "node:fs/promises";
import { EnvironmentError, throwIfAborted } from "@imgtool/core";
import { layoutUki, type UkiPlacement } from "./uki.ts";

/** Content of a section: bytes, or files that are joined in this order. */
export type SectionContent = Uint8Array | readonly string[];

export interface SectionSource {
  readonly name: string;
  readonly content: SectionContent;
}

export interface WriteSectionsOptions {
  /** Path; whatever is there is replaced. Removed again after an error. */
  readonly output: string;
  /** systemd-stub, whole. */
  readonly stub: Uint8Array;
  readonly sections: readonly SectionSource[];
  readonly nxCompatible?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes the stub with these sections; returns the file's size in bytes.
 * @throws as layoutUki; EnvironmentError `file-changed` when a part changes while it is copied
 */
export async function writeSections(options: WriteSectionsOptions): Promise<{ size: number }> {
  const { stub, sections, signal } = options;
  const sizes = await Promise.all(sections.map(async ({ content }) => await contentSizes(content)));
  const layout = layoutUki({
    stub,
    sections: sections.map(({ name }, index) => ({ name, size: totalSize(sizes[index] ?? []) })),
    ...(options.nxCompatible === undefined ? {} : { nxCompatible: options.nxCompatible }),
  });
  const output = await open(options.output, "w");
  try {
    await output.truncate(layout.size);
    await writeAll(output, layout.head, 0);
    for (const [index, { content }] of sections.entries()) {
      let { offset } = layout.placements[index] as UkiPlacement;
      for await (const piece of readContent(content, sizes[index] ?? [], signal)) {
        await writeAll(output, piece, offset);
        offset += piece.length;
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

/** SHA-256 of what writeSections() puts into the section. */
export async function digestContent(content: SectionContent, signal?: AbortSignal): Promise<Uint8Array> {
  const hash = createHash("sha256");
  for await (const piece of readContent(content, await contentSizes(content), signal)) hash.update(piece);
  return hash.digest();
}

async function contentSizes(content: SectionContent): Promise<number[]> {
  if (content instanceof Uint8Array) return [content.length];
  return await Promise.all(content.map(async (path) => (await stat(path)).size));
}

/** What the kernel finds behind an initrd, it wants on a grain of four. */
function totalSize(sizes: readonly number[]): number {
  return sizes.length === 1 ? (sizes[0] ?? 0) : sizes.reduce((sum, one) => sum + roundUp4(one), 0);
}

async function* readContent(
  content: SectionContent,
  sizes: readonly number[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  throwIfAborted(signal);
  if (content instanceof Uint8Array) {
    yield content;
    return;
  }
  for (const [index, path] of content.entries()) {
    const size = sizes[index] ?? 0;
    yield* readWhole(path, size, signal);
    if (content.length > 1) yield new Uint8Array(roundUp4(size) - size);
  }
}

async function* readWhole(
  path: string,
  size: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  let done = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 ** 2 })) {
    throwIfAborted(signal);
    const bytes = chunk as Buffer;
    if (done + bytes.length > size) break;
    yield bytes;
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
