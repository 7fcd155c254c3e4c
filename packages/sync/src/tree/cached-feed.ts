/**
 * Writes the archive of a directory into the chunk pipeline as feed-tree.ts does, but without the chunks
 * that are known from a former run: their files are neither read nor digested.
 *
 * A file is believed to have its former content when its device, inode, size, mtime and ctime are those of
 * before, as git and rsync do it; one that was changed within two seconds before it was read is not, since
 * a second change could leave the same times. The store is asked for each chunk.
 *
 * A chunk that begins where one of the former run began is that one when everything it was made of is the
 * same. Until that is known its files stay open and unread. Where it is not, bytes are cut as always, and
 * after each cut it is looked whether the former run had a cut there, too: then what was read behind it is
 * dropped, and known chunks follow again.
 * @module
 */
import { hash, randomBytes } from "node:crypto";
import { closeSync } from "node:fs";
import { throwIfAborted } from "@imgtool/core";
import { CatarEncoder, defaultArchiveFlags } from "@imgtool/catar";
import { Breather } from "../breathe.ts";
import type { StreamSink } from "../stream-sink.ts";
import type { FeedTreeOptions } from "./feed-tree.ts";
import type { MakeCache } from "./make-cache.ts";
import { encodeEntry, readContent } from "./walk.ts";
import { type FileContent, walkNodes } from "./walk-nodes.ts";

/** A sink that takes chunks without their bytes, between two of those that it cuts. */
export interface SkippingSink extends StreamSink {
  /**
   * Takes a chunk that begins where the last one ended; what was written behind that is dropped first.
   * @returns false when the store does not have it: nothing is taken then
   */
  skipChunk(size: number, id: Uint8Array): Promise<boolean>;
  /** Drops what was written behind the last cut. */
  rewind(): void;
}

/** A part of the archive: the bytes of records, or a file's content. */
interface Part {
  readonly fingerprint: Buffer;
  /** Position in the archive. */
  readonly start: number;
  readonly length: number;
  readonly source: Uint8Array | FileContent;
}

/** Files that are open at most while it is not known whether a chunk is one of before. */
const openFiles = 256;
/** Bytes that are cut before it is looked for a known chunk again. */
const sliceSize: number = 128 * 1024;
/** Nanoseconds within which a file may change twice and keep its times. */
const racyTime = 2_000_000_000n;

export class CachedFeed implements Disposable {
  readonly #sink: SkippingSink;
  readonly #cache: MakeCache;
  readonly #options: FeedTreeOptions;
  readonly #startTime = BigInt(Date.now()) * 1_000_000n;
  /** Everything from the start of the chunk under way on. */
  #parts: Part[] = [];
  #end = 0;
  #chunkStart = 0;
  /** Up to where bytes were written to the sink. */
  #fed = 0;
  /** Whether the chunk under way is being cut, not looked for. */
  #isCutting = false;
  /** What the chunks whose ids are still to come were made of. */
  readonly #awaiting: { readonly start: Buffer; readonly parts: Buffer; readonly size: number }[] = [];

  constructor(sink: SkippingSink, cache: MakeCache, options: FeedTreeOptions) {
    this.#sink = sink;
    this.#cache = cache;
    this.#options = options;
  }

  /** @throws as feedTree() */
  async feed(directory: string): Promise<void> {
    const { flags = defaultArchiveFlags, signal } = this.#options;
    const encoder = new CatarEncoder(flags);
    const breather = new Breather();
    for (const walked of walkNodes(directory, flags, this.#options)) {
      throwIfAborted(signal);
      const due = breather.due();
      if (due !== undefined) await due;
      const bytes = walked.type === "leave" ? encoder.leave() : encodeEntry(encoder, walked);
      this.#add(hash("sha256", bytes, "buffer"), bytes.length, bytes);
      if (walked.type === "entry" && walked.content !== undefined) {
        const { content } = walked;
        content.keep();
        this.#add(this.#identity(content), content.size, content);
        encoder.payload(content.size);
      }
      await this.#work(false);
    }
    encoder.finish();
    await this.#work(true);
  }

  /** To be told of each chunk that the sink cuts. */
  onCut(size: number): void {
    this.#awaiting.push({ start: this.#startKey(), parts: this.#partsKey(size), size });
    this.#drop(size);
  }

  /** To be told of each chunk of the stream in order, skipped ones too. */
  onChunk(id: Uint8Array): void {
    const chunk = this.#awaiting.shift();
    if (chunk !== undefined) this.#cache.add(chunk, id);
  }

  [Symbol.dispose](): void {
    for (const { source } of this.#parts) close(source);
    this.#parts = [];
  }

  #add(fingerprint: Buffer, length: number, source: Part["source"]): void {
    this.#parts.push({ fingerprint, start: this.#end, length, source });
    this.#end += length;
  }

  #identity({ status }: FileContent): Buffer {
    const newest = status.mtime > status.ctime ? status.mtime : status.ctime;
    if (newest > this.#startTime - racyTime) return randomBytes(32);
    const { fileSystem, inode, size, mtime, ctime } = status;
    return hash("sha256", `${fileSystem} ${inode} ${size} ${mtime} ${ctime}`, "buffer");
  }

  /** Goes on as far as what is known of the archive allows. */
  async #work(isWhole: boolean): Promise<void> {
    while (this.#chunkStart < this.#end) {
      if (!this.#isCutting) {
        const known = this.#cache.find(this.#startKey());
        if (known !== undefined) {
          const isThere = this.#end - this.#chunkStart >= known.size;
          if (!isThere && !isWhole && this.#parts.length < openFiles) return;
          if (isThere && (await this.#skip(known))) continue;
        }
        this.#isCutting = true;
        this.#fed = this.#chunkStart;
      }
      if (this.#fed === this.#end) return;
      const before = this.#chunkStart;
      await this.#cutSlice();
      if (this.#chunkStart === before) continue;
      // A cut: nothing is lost but this slice where known chunks follow.
      if (this.#chunkStart === this.#fed || this.#cache.find(this.#startKey()) !== undefined) {
        this.#sink.rewind();
        this.#isCutting = false;
      }
    }
  }

  async #skip(known: NonNullable<ReturnType<MakeCache["find"]>>): Promise<boolean> {
    const parts = this.#partsKey(known.size);
    if (!parts.equals(known.parts)) return false;
    const chunk = { start: this.#startKey(), parts, size: known.size };
    this.#awaiting.push(chunk);
    if (!(await this.#sink.skipChunk(known.size, known.id))) {
      this.#awaiting.splice(this.#awaiting.indexOf(chunk), 1);
      return false;
    }
    this.#options.task.advance(known.size);
    this.#drop(known.size);
    return true;
  }

  /** Writes some of the part that is next. */
  async #cutSlice(): Promise<void> {
    const part = this.#parts.find(({ start, length }) => start + length > this.#fed);
    if (part === undefined) return;
    const offset = this.#fed - part.start;
    const view = this.#sink.trySpace() ?? (await this.#sink.space());
    const length = Math.min(view.length, sliceSize, part.length - offset);
    let count = length;
    if (part.source instanceof Uint8Array) view.set(part.source.subarray(offset, offset + length));
    else count = readContent(part.source, view.subarray(0, length), offset);
    this.#fed += count;
    this.#options.task.advance(count);
    this.#sink.advance(count);
    if (!this.#sink.tryCut()) await this.#sink.cut();
  }

  #startKey(): Buffer {
    const [first] = this.#parts;
    if (first === undefined) throw new RangeError("a chunk begins in some part");
    return hash("sha256", `${first.fingerprint.toString("hex")} ${this.#chunkStart - first.start}`, "buffer");
  }

  #partsKey(size: number): Buffer {
    const words: string[] = [];
    const end = this.#chunkStart + size;
    for (const { fingerprint, start, length } of this.#parts) {
      if (start >= end) break;
      const [from, to] = [Math.max(start, this.#chunkStart), Math.min(start + length, end)];
      words.push(`${fingerprint.toString("hex")} ${from - start} ${to - start}`);
    }
    return hash("sha256", words.join("\n"), "buffer");
  }

  /** The chunk under way ends. */
  #drop(size: number): void {
    this.#chunkStart += size;
    let whole = 0;
    for (const { start, length, source } of this.#parts) {
      if (start + length > this.#chunkStart) break;
      close(source);
      whole++;
    }
    this.#parts.splice(0, whole);
  }
}

function close(source: Part["source"]): void {
  if (!(source instanceof Uint8Array)) closeSync(source.descriptor);
}
