/**
 * The archive of a directory, piece by piece.
 * @module
 */
import { readSync } from "node:fs";
import { ConfigError, throwIfAborted } from "@imgtool/core";
import { CatarEncoder, CatarError, defaultArchiveFlags, maxDepth } from "@imgtool/catar";
import { displayPath } from "@imgtool/host";
import {
  changedError,
  type FileContent,
  joinPath,
  type WalkedNode,
  type WalkOptions,
  walkNodes,
} from "./walk-nodes.ts";

/** A piece of an archive. */
export interface TreePiece {
  /** Never changed afterwards. */
  readonly bytes: Uint8Array;
}

/** A step of a walk: records of the archive, or a file that is open and whose content comes next. */
export type WalkStep = { readonly bytes: Uint8Array } | { readonly content: FileContent };

export interface WalkTreeOptions extends Omit<WalkOptions, "plain"> {
  /** Normalized feature flags. Default: casync's. */
  readonly flags?: bigint;
}

const pieceSize = 1024 ** 2;

/**
 * The archive of a directory.
 * @throws NotFoundError `source-missing`; FormatError `source-changed` when a file shrinks while it is
 *   read; CatarError `catar-too-deep`; SystemCallError for what cannot be read
 */
export async function* walkTree(path: string, options: WalkTreeOptions = {}): AsyncGenerator<TreePiece, void> {
  for (const step of walkSteps(path, options)) {
    if ("bytes" in step) {
      yield step;
      continue;
    }
    const { size } = step.content;
    for (let offset = 0; offset < size;) {
      throwIfAborted(options.signal);
      const buffer = Buffer.allocUnsafeSlow(Math.min(pieceSize, size - offset));
      const count = readContent(step.content, buffer, offset);
      yield { bytes: buffer.subarray(0, count) };
      offset += count;
    }
  }
}

/**
 * Reads from a file of a walk, synchronously: an asynchronous read costs some 50 µs more.
 * @throws FormatError `source-changed` where there is nothing more, though there should be
 */
export function readContent(content: FileContent, buffer: Uint8Array, offset: number): number {
  const { descriptor, size } = content;
  const count = readSync(descriptor, buffer, 0, Math.min(buffer.length, size - offset), offset);
  if (count === 0) throw changedError(content.path, `${size} bytes`, `${offset} bytes`);
  return count;
}

/**
 * The steps of walkTree(). The content that a step announces is to be read, all of it, before the next
 * step is taken.
 */
export function* walkSteps(path: string, options: WalkTreeOptions = {}): Generator<WalkStep, void> {
  const { flags = defaultArchiveFlags } = options;
  const encoder = new CatarEncoder(flags);
  for (const walked of walkNodes(path, flags, options)) {
    if (walked.type === "leave") {
      yield { bytes: encoder.leave() };
      continue;
    }
    yield { bytes: encodeEntry(encoder, walked) };
    if (walked.content === undefined) continue;
    yield { content: walked.content };
    encoder.payload(walked.content.size);
  }
  encoder.finish();
}

/** A node's records. @throws ConfigError, with the node's path, for what an archive cannot hold */
export function encodeEntry(
  encoder: CatarEncoder,
  walked: Extract<WalkedNode, { readonly type: "entry" }>,
): Uint8Array {
  try {
    return encoder.entry(walked.name, walked.node);
  } catch (error) {
    const path = displayPath(joinPath(walked.names)) || ".";
    if (error instanceof CatarError && error.code === "catar-too-deep") {
      throw new ConfigError(`${path} is too deep: an archive has at most ${maxDepth} levels`, {
        code: "tree-too-deep",
        hint: "leave it out with .caexclude, or make an image of a file system, and a .caibx of that",
        data: { path, expected: maxDepth, found: walked.depth + 1 },
        cause: error,
      });
    }
    if (error instanceof ConfigError) error.message = `${path}: ${error.message}`;
    throw error;
  }
}
