/**
 * What a store holds, by its listing: no chunk is read but a few, to say how they are compressed.
 * @module
 */
import { type ChunkIndex, IdTable } from "@imgtool/chunker";
import { fromHex, type Progress, silentProgress } from "@imgtool/core";
import { type ChunkName, type Codec, isSealedChunk, type ListStore, maxStoredBytes, sniffCodec } from "@imgtool/store";

export interface DescribeStoreOptions {
  /** Whose chunks are told from others. */
  readonly indexes?: readonly ChunkIndex[];
  /** What the store calls a chunk of an index, where that is not its name: in an encrypted store. */
  readonly listedName?: (name: ChunkName) => ChunkName;
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
}

export interface StoreDescription {
  /** Chunk files, and their bytes in the store. */
  readonly chunks: number;
  readonly bytes: number;
  /** Of those, compressed ones. */
  readonly compressed: number;
  /** With what the first of them are compressed; "encrypted" where that cannot be seen. */
  readonly codecs: readonly (Codec | "encrypted")[];
  /** Chunk files that the indexes name, their bytes in the store, and the plain length of what is in them. */
  readonly named: number;
  readonly namedBytes: number;
  readonly namedPlainBytes: number;
  /** Different chunks that the indexes name and the store lacks. */
  readonly missing: number;
  /** What writers have not finished, or never will. */
  readonly unfinished: number;
  /** What does not belong into a store. */
  readonly strays: number;
}

/** Chunks that are looked at for their codec. */
const samples = 8;

/**
 * Describes a store.
 * @throws what the store throws; AbortedError
 * @example await describeStore(await openLocalStore("s.castr"), { indexes: [await readIndex("1.caibx")] })
 */
export async function describeStore(store: ListStore, options: DescribeStoreOptions = {}): Promise<StoreDescription> {
  const { indexes = [], progress = silentProgress, signal } = options;
  const { ids, sizes } = namedChunks(indexes, options.listedName);
  const found = new Set<number>();
  const codecs = new Set<Codec | "encrypted">();
  const count = {
    chunks: 0,
    bytes: 0,
    compressed: 0,
    named: 0,
    namedBytes: 0,
    namedPlainBytes: 0,
    unfinished: 0,
    strays: 0,
  };
  using task = progress.start({ label: "list chunks" });
  for await (const entry of store.list(signal)) {
    if (entry.kind === "stray") count.strays++;
    else if (entry.kind !== "chunk") count.unfinished++;
    else {
      task.advance(1);
      count.chunks++;
      count.bytes += entry.bytes;
      // What is too large for a chunk is none, and store.get() would refuse it.
      if (entry.compressed && count.compressed++ < samples && entry.bytes <= maxStoredBytes()) {
        const bytes = (await store.get(entry.name, signal))?.bytes;
        const codec = bytes === undefined ? undefined : isSealedChunk(bytes) ? "encrypted" : sniffCodec(bytes);
        if (codec !== undefined) codecs.add(codec);
      }
      const position = ids.find(fromHex(entry.name));
      if (position < 0) continue;
      found.add(position);
      count.named++;
      count.namedBytes += entry.bytes;
      count.namedPlainBytes += sizes[position] ?? 0;
    }
  }
  task.done(`${count.chunks} chunks`);
  return { ...count, codecs: [...codecs], missing: ids.count - found.size };
}

/** The chunks that the indexes name, as the store lists them, and their plain lengths. */
function namedChunks(
  indexes: readonly ChunkIndex[],
  listedName: ((name: ChunkName) => ChunkName) | undefined,
): { readonly ids: IdTable; readonly sizes: readonly number[] } {
  const ids = new IdTable(indexes.reduce((sum, index) => sum + index.count, 1));
  const sizes: number[] = [];
  for (const index of indexes) {
    for (let i = 0; i < index.count; i++) {
      const listed = listedName?.(index.name(i));
      sizes[ids.add(listed === undefined ? index.id(i) : fromHex(listed))] = index.size(i);
    }
  }
  return { ids, sizes };
}
