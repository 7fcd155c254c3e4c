/**
 * The digest of a tree is that of its archive's bytes, whichever form it has: what `casync digest`
 * prints.
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { ConfigError } from "@imgtool/core";
import { displayPath } from "@imgtool/host";
import { defaultDigest, type DigestAlgorithm, digestOfFlags, type ChunkIndex } from "@imgtool/chunker";
import type { ReadStore } from "@imgtool/store";
import type { ByteSource } from "../byte-source.ts";
import { ChunkSource } from "../chunk-source.ts";
import { readStream } from "../read-stream.ts";
import type { Subtree } from "./subtree.ts";
import { archiveBytes, archiveDecoder, archiveEvents, sourceBytes, type TreeSource } from "./tree-source.ts";

// An archive's feature flags, which name the digest, are whole after so many bytes.
const flagsEnd = 24;

/**
 * Digest of a directory, an archive or the archive that an index describes, as 64 hexadecimal digits;
 * of a file inside an archive that of its content. The archive's form is checked.
 * @throws as walkTree(), CatarDecoder, readStream(); ConfigError `path-not-digestible` for what is neither
 *   a file nor a directory
 */
export async function digestTree(source: TreeSource, signal?: AbortSignal): Promise<string> {
  if ("subtree" in source && source.subtree.kind !== "directory") return digestFile(source.subtree, signal);
  const decoder = archiveDecoder(source);
  let hash: Hash | undefined;
  let head = Buffer.alloc(0);
  for await (const bytes of "subtree" in source ? source.subtree.bytes(signal) : archiveBytes(source, signal)) {
    for (const event of decoder.push(bytes)) void event;
    if (hash === undefined) {
      head = Buffer.concat([head, bytes]);
      if (head.length < flagsEnd) continue;
      hash = createHash(digestOfFlags(head.readBigUInt64LE(flagsEnd - 8))).update(head);
    } else {
      hash.update(bytes);
    }
  }
  decoder.finish();
  // finish() has thrown when there were fewer bytes than an ENTRY has
  return (hash ?? createHash(defaultDigest)).digest("hex");
}

async function digestFile(subtree: Subtree, signal: AbortSignal | undefined): Promise<string> {
  if (subtree.kind !== "file") {
    throw new ConfigError(`a ${subtree.kind} has no digest`, {
      code: "path-not-digestible",
      hint: "name a file or a directory",
      data: { path: displayPath(subtree.name), kind: subtree.kind },
    });
  }
  const hash = createHash(digestOfFlags(subtree.flags));
  for await (const event of archiveEvents({ subtree }, signal)) if (event.type === "payload") hash.update(event.bytes);
  return hash.digest("hex");
}

export type BlobSource =
  | { readonly file: ByteSource; readonly digest?: DigestAlgorithm }
  | { readonly index: ChunkIndex; readonly stores: readonly ReadStore[] };

/** Digest of a file's content, or of the blob that an index describes. */
export async function digestBlob(source: BlobSource, signal?: AbortSignal): Promise<string> {
  const algorithm = "index" in source ? source.index.digest : (source.digest ?? defaultDigest);
  const hash = createHash(algorithm);
  const bytes = "index" in source ? readStream(new ChunkSource(source), { signal }) : sourceBytes(source.file);
  for await (const piece of bytes) hash.update(piece);
  return hash.digest("hex");
}
