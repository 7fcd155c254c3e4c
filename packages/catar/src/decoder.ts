/**
 * Reads an archive: bytes are pushed in as they come, events come out. Everything that the format
 * fixes is checked, so that what reads the events need not: order of records and of names, equal
 * feature flags on all nodes, GOODBYE tables equal to what was seen, depth, nothing behind the end.
 * @module
 */
import { compareBytes } from "@imgtool/core";
import { entryFlags } from "./entry-decode.ts";
import { CatarError, quoteBytes, truncatedError } from "./errors.ts";
import { bounded, cString, type RawRecord } from "./fields.ts";
import { checkGoodbye, goodbyeSize, hashName, type GoodbyeChild } from "./goodbye.ts";
import { isMetadataRecord, MetadataReader } from "./metadata-decode.ts";
import { checkFileName } from "./names.ts";
import type { CatarNode, NodeContent } from "./node.ts";
import { RecordReader, type ReaderEvent } from "./record-reader.ts";
import { headerSize, maxDepth, type RecordName } from "./records.ts";

export type CatarEvent =
  /** A node with all its metadata. */
  | {
      readonly type: "entry";
      /** Empty for the root. */
      readonly name: Uint8Array;
      /** 0 for the root. */
      readonly depth: number;
      readonly node: CatarNode;
      /** Offset of the node's ENTRY. */
      readonly offset: number;
      /** Offset behind its records so far: where a file's payload or a directory's first child begins. */
      readonly contentOffset: number;
    }
  /** Bytes of the file that was entered last; a view of what was pushed. */
  | { readonly type: "payload"; readonly bytes: Uint8Array }
  /** The node entered last that has not been left is whole; `end` is the offset behind it. */
  | { readonly type: "leave"; readonly depth: number; readonly end: number };

export interface DecoderOptions {
  /** Feature flags that the archive must have: those of the index that it comes with. */
  readonly flags?: bigint;
}

interface OpenNode {
  readonly entryStart: number;
  readonly name: Uint8Array;
  /** Offset of FILENAME. */
  readonly start: number;
  readonly children: GoodbyeChild[];
  lastName: Uint8Array | undefined;
  readonly metadata: MetadataReader;
  /** Whether its entry event is still to come. */
  pending: boolean;
}

/**
 * A push parser.
 * @example
 * const decoder = new CatarDecoder();
 * for (const bytes of input) for (const event of decoder.push(bytes)) …
 * decoder.finish();
 */
export class CatarDecoder {
  readonly #reader: RecordReader = new RecordReader((name, size, offset) => this.#checkHeader(name, size, offset));
  readonly #open: OpenNode[] = [];
  #flags: bigint | undefined;
  /** The FILENAME whose ENTRY is still to come. */
  #named: { name: Uint8Array; start: number } | undefined;
  #ended = false;

  constructor(options: DecoderOptions = {}) {
    this.#flags = options.flags;
  }

  /** The feature flags, once the first ENTRY has been read. */
  get flags(): bigint | undefined {
    return this.#flags;
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#reader.offset;
  }

  /**
   * Yields what the bytes complete; run it to its end before the next push. After an error the
   * decoder is not used again.
   * @throws CatarError with offset, expected and found
   */
  *push(bytes: Uint8Array): Generator<CatarEvent, void> {
    for (const event of this.#reader.push(bytes)) yield* this.#take(event);
  }

  /** Bytes of the file entered last that are still to come. */
  get payloadLeft(): number {
    return this.#reader.payloadLeft;
  }

  /**
   * Passes over bytes of a file's content that the caller does not read: the next push goes on behind them.
   * @throws RangeError when `count` is more than payloadLeft
   */
  *skipPayload(count: number): Generator<CatarEvent, void> {
    if (!(count >= 0 && count <= this.payloadLeft))
      throw new RangeError(`expected 0 to ${this.payloadLeft} bytes of payload to skip, found ${count}`);
    for (const event of this.#reader.skip(count)) yield* this.#take(event);
  }

  /** Ends the input. @throws CatarError `catar-truncated` when the archive is not whole */
  finish(): void {
    this.#reader.finish();
    if (!this.#ended) {
      throw truncatedError(this.#reader.offset, this.#open.length === 0 ? "a root directory" : "the root's GOODBYE");
    }
  }

  // Runs before the record's body is collected: what cannot stand here is refused early.
  #checkHeader(name: RecordName, bodySize: number, offset: number): void {
    const node = this.#open.at(-1);
    if (this.#ended) throw orderError(offset, "the end of the archive", name);
    if (node === undefined) {
      if (name !== "entry") throw orderError(offset, "entry", name);
      return;
    }
    if (this.#named !== undefined) {
      if (name !== "entry") throw orderError(offset, "entry behind a file name", name);
      return;
    }
    const { kind } = node.metadata;
    const allowed = contentRecords[kind];
    if (node.pending && isMetadataRecord(name)) return;
    // FIFOs and sockets end where their parent goes on.
    if (allowed.length === 0 ? name !== "filename" && name !== "goodbye" : !allowed.includes(name)) {
      throw orderError(offset, allowed.join(" or ") || "filename or goodbye", name);
    }
    if (name === "goodbye") {
      const { children } = this.#directory(allowed.length === 0);
      const expected = goodbyeSize(children.length + (allowed.length === 0 ? 1 : 0));
      if (bodySize + headerSize !== expected) {
        throw new CatarError("catar-goodbye", "GOODBYE does not fit the directory", {
          offset,
          expected: `${expected} bytes`,
          found: `${bodySize + headerSize} bytes`,
        });
      }
    }
  }

  /** The directory that the next FILENAME or GOODBYE belongs to. */
  #directory(behindSpecial: boolean): OpenNode {
    return this.#open.at(behindSpecial ? -2 : -1) as OpenNode;
  }

  *#take(event: ReaderEvent): Generator<CatarEvent, void> {
    switch (event.type) {
      case "payload":
        yield* this.#enter({ kind: "file", size: event.size }, this.#reader.offset);
        break;
      case "data":
        yield { type: "payload", bytes: event.bytes };
        break;
      case "payload-end":
        yield this.#leave(this.#reader.offset);
        break;
      case "record":
        yield* this.#takeRecord(event.record);
        break;
    }
  }

  *#takeRecord(record: RawRecord): Generator<CatarEvent, void> {
    const node = this.#open.at(-1);
    switch (record.name) {
      case "entry":
        this.#openNode(record);
        return;
      case "symlink":
        yield* this.#enter({ kind: "symlink", target: cString(record, 0, "symlink target") }, this.#reader.offset);
        yield this.#leave(this.#reader.offset);
        return;
      case "device":
        yield* this.#enter(deviceContent(record, node as OpenNode), this.#reader.offset);
        yield this.#leave(this.#reader.offset);
        return;
      case "filename":
        yield* this.#enterPending(record.offset);
        this.#takeName(record);
        return;
      case "goodbye":
        yield* this.#enterPending(record.offset);
        this.#checkGoodbye(record);
        yield this.#leave(this.#reader.offset);
        return;
      default:
        node?.metadata.accept(record);
    }
  }

  #openNode(record: RawRecord): void {
    const flags = entryFlags(record);
    if (this.#flags !== undefined && flags !== this.#flags) {
      throw new CatarError("catar-flags-differ", "feature flags differ", {
        offset: record.offset,
        expected: `0x${this.#flags.toString(16)}`,
        found: `0x${flags.toString(16)}`,
      });
    }
    this.#flags = flags;
    const metadata = new MetadataReader(record, flags);
    if (this.#open.length === 0 && metadata.kind !== "directory") {
      throw orderError(record.offset, "a directory as root", metadata.kind);
    }
    const named = this.#named ?? { name: new Uint8Array(0), start: record.offset };
    this.#named = undefined;
    this.#open.push({
      entryStart: record.offset,
      ...named,
      children: [],
      lastName: undefined,
      metadata,
      pending: true,
    });
  }

  *#enter(content: NodeContent, contentOffset: number): Generator<CatarEvent, void> {
    const node = this.#open.at(-1) as OpenNode;
    node.pending = false;
    yield {
      type: "entry",
      name: node.name,
      depth: this.#open.length - 1,
      node: { metadata: node.metadata.finish(), content },
      offset: node.entryStart,
      contentOffset,
    };
  }

  /** Nodes without a record for their content are known to be whole when the next record begins. */
  *#enterPending(offset: number): Generator<CatarEvent, void> {
    const node = this.#open.at(-1);
    if (node?.pending !== true) return;
    const { kind } = node.metadata;
    if (kind === "directory") {
      yield* this.#enter({ kind }, offset);
    } else if (kind === "fifo" || kind === "socket") {
      yield* this.#enter({ kind }, offset);
      yield this.#leave(offset);
    }
  }

  #leave(end: number): CatarEvent {
    const node = this.#open.pop() as OpenNode;
    this.#open.at(-1)?.children.push({ start: node.start, end, hash: hashName(node.name) });
    if (this.#open.length === 0) this.#ended = true;
    return { type: "leave", depth: this.#open.length, end };
  }

  #takeName(record: RawRecord): void {
    const directory = this.#directory(false);
    const name = cString(record, 0, "file name");
    checkFileName(name, record.offset);
    if (directory.lastName !== undefined && compareBytes(directory.lastName, name) >= 0) {
      throw new CatarError("catar-name-order", "names are not sorted", {
        offset: record.offset,
        expected: `a name behind ${quoteBytes(directory.lastName)}`,
        found: quoteBytes(name),
      });
    }
    if (this.#open.length >= maxDepth) {
      throw new CatarError("catar-too-deep", "the tree is too deep", {
        offset: record.offset,
        expected: `at most ${maxDepth} nodes from the root to any node`,
        found: quoteBytes(name),
      });
    }
    directory.lastName = name;
    this.#named = { name, start: record.offset };
  }

  #checkGoodbye(record: RawRecord): void {
    const directory = this.#directory(false);
    checkGoodbye(record, directory.children, directory.entryStart);
  }
}

const contentRecords: Readonly<Record<NodeContent["kind"], readonly RecordName[]>> = {
  directory: ["filename", "goodbye"],
  file: ["payload"],
  symlink: ["symlink"],
  block: ["device"],
  character: ["device"],
  fifo: [],
  socket: [],
};

function deviceContent(record: RawRecord, node: OpenNode): NodeContent {
  // Linux has 12 bits for the major and 20 for the minor number.
  const major = bounded(record, 0, 0xfff, "major number");
  const minor = bounded(record, 8, 0xf_ffff, "minor number");
  return { kind: node.metadata.kind === "block" ? "block" : "character", major, minor };
}

function orderError(offset: number, expected: string, found: string): CatarError {
  return new CatarError("catar-record-order", "a record is out of order", { offset, expected, found });
}
