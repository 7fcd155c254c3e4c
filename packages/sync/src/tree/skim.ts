/**
 * The nodes of an archive without the contents of its files: what only contents are in is neither read
 * nor fetched, where the archive can be read from any place.
 * @module
 */
import type { CatarEvent } from "@imgtool/catar";
import { throwIfAborted } from "@imgtool/core";
import { Breather } from "../breathe.ts";
import { ChunkSource } from "../chunk-source.ts";
import { RangedSource } from "../ranged-source.ts";
import { type ArchiveReader, chunkReader, fileReader, rangedReader } from "./archive-reader.ts";
import { archiveDecoder, archiveEvents, type TreeSource } from "./tree-source.ts";

export type EntryEvent = Extract<CatarEvent, { readonly type: "entry" }>;

/**
 * Yields the nodes of an archive in its order, many at once: a step of an asynchronous iteration costs
 * more than a node. What is passed over is not verified, everything else as archiveEvents() does it.
 * @param onFlags told the archive's feature flags before the first nodes
 * @throws as archiveEvents()
 */
export async function* skimNodes(
  source: TreeSource,
  signal?: AbortSignal,
  onFlags?: (flags: bigint) => void,
): AsyncGenerator<EntryEvent[], void> {
  await using resources = new AsyncDisposableStack();
  const reader = "subtree" in source ? source.subtree.pieces() : resources.use(await seekableReader(source, signal));
  if (reader === undefined) {
    for await (const event of archiveEvents(source, signal, onFlags)) if (event.type === "entry") yield [event];
    return;
  }
  const decoder = archiveDecoder(source);
  const breather = new Breather();
  let isTold = false;
  for (let at = 0; at < reader.size;) {
    throwIfAborted(signal);
    const due = breather.due();
    if (due !== undefined) await due;
    const bytes = await reader.piece(at);
    const nodes = [...decoder.push(bytes)].filter((event) => event.type === "entry");
    at += bytes.length;
    const skipped = Math.min(decoder.payloadLeft, reader.size - at);
    for (const event of decoder.skipPayload(skipped)) void event;
    at += skipped;
    if (!isTold && nodes.length > 0) onFlags?.(decoder.flags ?? 0n);
    isTold ||= nodes.length > 0;
    yield nodes;
  }
  decoder.finish();
}

/** What reads a whole archive from any place; undefined for a directory, a stream or a part of an archive. */
export async function seekableReader(source: TreeSource, signal?: AbortSignal): Promise<ArchiveReader | undefined> {
  if ("index" in source) return chunkReader(new ChunkSource(source), "the archive", signal);
  if ("archive" in source && source.archive instanceof RangedSource) return rangedReader(source.archive);
  if (!("archive" in source) || typeof source.archive !== "string" || source.archive === "-") return undefined;
  const reader = await fileReader(source.archive);
  if (reader.isSeekable) return reader;
  await reader[Symbol.asyncDispose]();
  return undefined;
}
