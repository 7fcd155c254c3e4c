/**
 * Streams entries into an archive. The same entries in the same order give the same bytes.
 * @module
 */
import { FormatError } from "@imgtool/core";
import type { FileEntry, TarEntry } from "./entry.ts";
import { blockSize, encodeHeader, padding } from "./header.ts";

// tar(1) writes whole records of twenty blocks.
const recordSize = 20 * blockSize;

/**
 * The bytes of an archive of the entries, in pieces; contents pass through as they are read.
 *
 * @throws FormatError `tar-entry-invalid`, or `tar-size-changed` when a file's content is not as long
 *   as its header says
 * @example
 *   for await (const bytes of encodeTar(entries)) await file.write(bytes);
 */
export async function* encodeTar(
  entries: AsyncIterable<TarEntry> | Iterable<TarEntry>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let written = 0;
  for await (const entry of entries) {
    const header = encodeHeader(entry);
    yield header;
    written += header.length;
    if (entry.kind !== "file") continue;
    yield* content(entry);
    const fill = padding(entry.size);
    if (fill.length > 0) yield fill;
    written += entry.size + fill.length;
  }
  // Two empty blocks end the archive.
  const end = 2 * blockSize;
  yield new Uint8Array(end + ((recordSize - ((written + end) % recordSize)) % recordSize));
}

async function* content(entry: FileEntry): AsyncGenerator<Uint8Array, void, undefined> {
  let length = 0;
  for await (const bytes of entry.content) {
    length += bytes.length;
    if (length > entry.size) break;
    yield bytes;
  }
  if (length === entry.size) return;
  const path = new TextDecoder().decode(entry.path);
  throw new FormatError(
    `"${path}" changed while it was read: expected ${entry.size} bytes, found ${length > entry.size ? "more" : length}`,
    {
      code: "tar-size-changed",
      data: { path, expected: entry.size, found: length },
    },
  );
}
