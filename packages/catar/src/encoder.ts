/**
 * Writes an archive: takes nodes in the archive's order (a directory, its children sorted bytewise by
 * name, the directory's end) and returns the bytes of their records. What the feature flags do not
 * record is left out here; which nodes are left out is the caller's choice (recordsKind).
 *
 * Payloads pass through the caller: entry() ends with the header of PAYLOAD, then the file's bytes
 * follow, reported with payload().
 * @module
 */
import { compareBytes, concatBytes } from "@imgtool/core";
import { CatarError, quoteBytes } from "./errors.ts";
import { encodeNumbers, terminated } from "./fields.ts";
import { checkFlags } from "./flags.ts";
import { encodeGoodbye, hashName, type GoodbyeChild } from "./goodbye.ts";
import { encodeMetadata } from "./metadata-encode.ts";
import { checkFileName } from "./names.ts";
import { kindOfMode, recordsKind, type CatarNode, type NodeContent } from "./node.ts";
import { bodySizes, encodeHeader, encodeRecord, maxDepth, maxTargetLength } from "./records.ts";
import { reduceMetadata } from "./reduce.ts";

interface OpenDirectory {
  readonly entryStart: number;
  /** Offset of its FILENAME, or of its ENTRY for the root. */
  readonly start: number;
  readonly hash: bigint;
  readonly children: GoodbyeChild[];
  lastName: Uint8Array | undefined;
}

/**
 * The state of an archive under way.
 * @example
 * const encoder = new CatarEncoder(defaultArchiveFlags);
 * write(encoder.entry(undefined, root));
 * write(encoder.entry(name, { metadata, content: { kind: "file", size: bytes.length } }));
 * write(bytes);
 * encoder.payload(bytes.length);
 * write(encoder.leave());
 * encoder.finish();
 */
export class CatarEncoder {
  readonly flags: bigint;
  #offset = 0;
  #payloadLeft = 0;
  #payloadOf: { start: number; hash: bigint } | undefined;
  readonly #open: OpenDirectory[] = [];

  /** @throws FormatError when the flags are not normalized */
  constructor(flags: bigint) {
    checkFlags(flags);
    this.flags = flags;
  }

  /** Bytes of the archive so far: where the next byte goes. */
  get offset(): number {
    return this.#offset;
  }

  /** Directories that are open. */
  get depth(): number {
    return this.#open.length;
  }

  /**
   * Begins a node: its name (undefined for the root), metadata and content. For a file the bytes end
   * with the header of PAYLOAD; its `size` bytes must follow.
   * @throws CatarError when names are not sorted or not names, the tree is too deep, or the node does
   *   not fit the flags; ConfigError when an id does not fit into 16 bits
   */
  entry(name: Uint8Array | undefined, node: CatarNode): Uint8Array<ArrayBuffer> {
    this.#expectNoPayload();
    const { content } = node;
    const parent = this.#checkPlace(name);
    this.#checkKind(node);
    const start = this.#offset;
    const parts: Uint8Array[] = name === undefined ? [] : [encodeRecord("filename", terminated(name))];
    const entryStart = start + (parts[0]?.length ?? 0);
    parts.push(...encodeMetadata(reduceMetadata(node, this.flags), this.flags), ...this.#encodeContent(content));
    const bytes = concatBytes(parts);
    this.#offset += bytes.length;

    const hash = name === undefined ? 0n : hashName(name);
    if (parent !== undefined) parent.lastName = name;
    if (content.kind === "directory") {
      this.#open.push({ entryStart, start, hash, children: [], lastName: undefined });
    } else if (content.kind === "file") {
      this.#payloadOf = { start, hash };
      this.#payloadLeft = content.size;
      this.#endPayload();
    } else {
      parent?.children.push({ start, end: this.#offset, hash });
    }
    return bytes;
  }

  /**
   * Reports `length` bytes of the current file's payload as written.
   * @throws CatarError `catar-payload-size` when they are more than its entry announced
   */
  payload(length: number): void {
    if (length > this.#payloadLeft) {
      throw new CatarError("catar-payload-size", "a file is longer than its entry says", {
        offset: this.#offset,
        expected: `${this.#payloadLeft} bytes more`,
        found: `${length} bytes`,
      });
    }
    this.#offset += length;
    this.#payloadLeft -= length;
    this.#endPayload();
  }

  /** Ends the directory that was begun last: returns its GOODBYE. */
  leave(): Uint8Array<ArrayBuffer> {
    this.#expectNoPayload();
    const directory = this.#open.pop();
    if (directory === undefined) throw this.#misuse("an open directory", "none");
    const bytes = encodeGoodbye(directory.children, directory.entryStart, this.#offset);
    this.#offset += bytes.length;
    this.#open.at(-1)?.children.push({ start: directory.start, end: this.#offset, hash: directory.hash });
    return bytes;
  }

  /** Checks that the archive is whole. @throws CatarError `catar-encoder-order` otherwise */
  finish(): void {
    this.#expectNoPayload();
    if (this.#offset === 0 || this.#open.length > 0) {
      throw this.#misuse("a whole archive", `${this.#open.length} open directories`);
    }
  }

  #checkPlace(name: Uint8Array | undefined): OpenDirectory | undefined {
    const parent = this.#open.at(-1);
    if (name === undefined) {
      if (this.#offset !== 0) throw this.#misuse("a name for every node but the root", "none");
      return undefined;
    }
    if (parent === undefined) throw this.#misuse("an open directory", "none");
    checkFileName(name, this.#offset);
    if (parent.lastName !== undefined && compareBytes(parent.lastName, name) >= 0) {
      throw new CatarError("catar-name-order", "names are not sorted", {
        offset: this.#offset,
        expected: `a name behind ${quoteBytes(parent.lastName)}`,
        found: quoteBytes(name),
      });
    }
    if (this.#open.length >= maxDepth) {
      throw new CatarError("catar-too-deep", "the tree is too deep", {
        offset: this.#offset,
        expected: `at most ${maxDepth} nodes from the root to any node`,
        found: quoteBytes(name),
      });
    }
    return parent;
  }

  #checkKind(node: CatarNode): void {
    const { kind } = node.content;
    if (kindOfMode(node.metadata.mode) !== kind) throw this.#misuse(kind, `mode 0${node.metadata.mode.toString(8)}`);
    if (this.#open.length === 0 && kind !== "directory") throw this.#misuse("a directory as root", kind);
    if (!recordsKind(this.flags, kind)) {
      throw this.#misuse(`kinds that feature flags 0x${this.flags.toString(16)} record`, kind);
    }
  }

  #encodeContent(content: NodeContent): Uint8Array<ArrayBuffer>[] {
    switch (content.kind) {
      case "file":
        if (!Number.isSafeInteger(content.size) || content.size < 0 || content.size > bodySizes.payload.max) {
          throw this.#misuse("a size in bytes", String(content.size));
        }
        return [encodeHeader("payload", content.size)];
      case "symlink":
        if (content.target.length === 0 || content.target.length > maxTargetLength || content.target.includes(0)) {
          throw this.#misuse(`a target of 1 to ${maxTargetLength} bytes without NUL`, quoteBytes(content.target));
        }
        return [encodeRecord("symlink", terminated(content.target))];
      case "block":
      case "character":
        return [encodeRecord("device", encodeNumbers(BigInt(content.major), BigInt(content.minor)))];
      default:
        return [];
    }
  }

  #endPayload(): void {
    if (this.#payloadOf === undefined || this.#payloadLeft > 0) return;
    this.#open.at(-1)?.children.push({ ...this.#payloadOf, end: this.#offset });
    this.#payloadOf = undefined;
  }

  #expectNoPayload(): void {
    if (this.#payloadOf !== undefined) {
      throw new CatarError("catar-payload-size", "a file is shorter than its entry says", {
        offset: this.#offset,
        expected: `${this.#payloadLeft} bytes more`,
        found: "the next node",
      });
    }
  }

  #misuse(expected: string, found: string): CatarError {
    return new CatarError("catar-encoder-order", "this cannot be encoded", { offset: this.#offset, expected, found });
  }
}
