/**
 * Streams entries into an archive. The same entries in the same order give the same bytes: those of
 * `cpio --create --format=newc --reproducible` of GNU cpio 2.14 and newer (older ones also write how many
 * folders a folder holds).
 * @module
 */
import { FormatError } from "@imgtool/core";
import { checkEntry, fieldLimit, trailerName, type CpioEntry, type FileEntry } from "./entry.ts";
import { encodeHeader, encodeTrailer, fill } from "./header.ts";

// cpio(1) writes whole blocks.
const blockSize = 512;

/**
 * The bytes of an archive of the entries, in pieces; contents pass through as they are read.
 *
 * A file with several names is written where its last name stands: first the other names, empty, then
 * the last with the content, as GNU cpio does and as the Linux kernel unpacks.
 *
 * @throws FormatError `cpio-entry-invalid`, or `cpio-size-changed` when a file's content is not as long
 *   as its entry says
 * @example
 *   for await (const bytes of encodeCpio(entries)) await file.write(bytes);
 */
export async function* encodeCpio(
  entries: AsyncIterable<CpioEntry> | Iterable<CpioEntry>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const inodes = new InodeNumbers();
  /** Names of files whose last name is yet to come, by their identity. */
  const waiting = new Map<string, FileEntry[]>();
  let written = 0;
  async function* write(entry: CpioEntry, empty = false): AsyncGenerator<Uint8Array, void, undefined> {
    const size = empty ? 0 : sizeOf(entry);
    const header = encodeHeader(entry, inodes.of(entry), size);
    yield header;
    if (entry.kind === "symlink") yield entry.target;
    else if (entry.kind === "file" && !empty) yield* contentOf(entry);
    if (fill(size) > 0) yield new Uint8Array(fill(size));
    written += header.length + size + fill(size);
  }

  for await (const entry of entries) {
    checkEntry(entry);
    if (entry.kind !== "file" || entry.hardLink === undefined) {
      yield* write(entry);
      continue;
    }
    const { id, count } = entry.hardLink;
    // Numbers go by the order in which files are first met, not written.
    inodes.of(entry);
    const names = waiting.get(id) ?? [];
    names.push(entry);
    if (names.length < count) {
      waiting.set(id, names);
      continue;
    }
    waiting.delete(id);
    for (const { name, last } of inOrder(names)) yield* write(name, !last);
  }
  // Files with more names than the archive has.
  for (const names of waiting.values()) for (const { name, last } of inOrder(names)) yield* write(name, !last);

  const trailer = encodeTrailer(trailerName);
  yield trailer;
  written += trailer.length;
  yield new Uint8Array((blockSize - (written % blockSize)) % blockSize);
}

/** The names of one file as GNU cpio writes them: the last one, with the content, after all others. */
function* inOrder(names: FileEntry[]): Generator<{ name: FileEntry; last: boolean }> {
  const final = names.pop();
  for (const name of names.toReversed()) yield { name, last: false };
  if (final !== undefined) yield { name: final, last: true };
}

/** Inode numbers from 0 on, one for all names of a file. */
class InodeNumbers {
  readonly #known = new Map<string, number>();
  #next = 0;

  of(entry: CpioEntry): number {
    if (entry.hardLink === undefined) return this.#take(entry);
    const number = this.#known.get(entry.hardLink.id) ?? this.#take(entry);
    this.#known.set(entry.hardLink.id, number);
    return number;
  }

  #take(entry: CpioEntry): number {
    if (this.#next > fieldLimit)
      throw new FormatError(`cpio entry "${new TextDecoder().decode(entry.path)}": more than 2^32 files`, {
        code: "cpio-entry-invalid",
      });
    return this.#next++;
  }
}

function sizeOf(entry: CpioEntry): number {
  if (entry.kind === "file") return entry.size;
  return entry.kind === "symlink" ? entry.target.length : 0;
}

async function* contentOf(entry: FileEntry): AsyncGenerator<Uint8Array, void, undefined> {
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
      code: "cpio-size-changed",
      data: { path, expected: entry.size, found: length },
    },
  );
}
