/**
 * The digest of a tree is that of its archive's bytes, whichever form it has: what `casync digest`
 * prints.
 * @module
 */
import { createHash } from "node:crypto";
import { defaultArchiveFlags } from "@imgtool/catar";
import { ConfigError, silentProgress } from "@imgtool/core";
import { displayPath } from "@imgtool/host";
import { defaultDigest, type DigestAlgorithm, digestOfFlags, type ChunkIndex } from "@imgtool/chunker";
import type { ReadStore } from "@imgtool/store";
import { type ByteSource, feedSource } from "../byte-source.ts";
import { ChunkSource } from "../chunk-source.ts";
import { readStream } from "../read-stream.ts";
import { StreamDigest } from "../stream-digest.ts";
import { feedTree } from "./feed-tree.ts";
import type { Subtree } from "./subtree.ts";
import { archiveBytes, archiveDecoder, archiveEvents, type TreeSource } from "./tree-source.ts";

// An archive's feature flags, which name the digest, are whole after so many bytes.
const flagsEnd = 24;

/**
 * Digest of a directory, an archive or the archive that an index describes, as 64 hexadecimal digits;
 * of a file inside an archive that of its content. The archive's form is checked.
 * @throws as walkTree(), CatarDecoder, readStream(); ConfigError `path-not-digestible` for what is neither
 *   a file nor a directory
 */
export async function digestTree(source: TreeSource, signal?: AbortSignal): Promise<string> {
  if ("directory" in source) return digestDirectory(source, signal);
  if ("subtree" in source && source.subtree.kind !== "directory") return digestFile(source.subtree, signal);
  const decoder = archiveDecoder(source);
  let digest: StreamDigest | undefined;
  await using resources = new AsyncDisposableStack();
  let head = Buffer.alloc(0);
  for await (const bytes of "subtree" in source ? source.subtree.bytes(signal) : archiveBytes(source, signal)) {
    for (const event of decoder.push(bytes)) void event;
    if (digest === undefined) {
      head = Buffer.concat([head, bytes]);
      if (head.length < flagsEnd) continue;
      const algorithm = digestOfFlags(head.readBigUInt64LE(flagsEnd - 8));
      digest = resources.use(new StreamDigest(algorithm, signal));
      await digest.write(head);
    } else if (!digest.tryWrite(bytes)) {
      await digest.write(bytes);
    }
  }
  decoder.finish();
  // finish() has thrown when there were fewer bytes than an ENTRY has
  return digest === undefined ? createHash(defaultDigest).digest("hex") : await digest.finish();
}

/** The archive is our own: its form need not be checked. */
async function digestDirectory(
  source: Extract<TreeSource, { readonly directory: string }>,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { directory, flags = defaultArchiveFlags, idShift } = source;
  await using digest = new StreamDigest(digestOfFlags(flags), signal);
  await feedTree(digest, directory, { flags, idShift, signal, task: silentProgress.start({ label: "digest" }) });
  return await digest.finish();
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
  await using digest = new StreamDigest(algorithm, signal);
  if ("file" in source)
    await feedSource(digest, source.file, { signal, task: silentProgress.start({ label: "digest" }) });
  else
    for await (const piece of readStream(new ChunkSource(source), { signal, borrow: true })) await digest.write(piece);
  return await digest.finish();
}
