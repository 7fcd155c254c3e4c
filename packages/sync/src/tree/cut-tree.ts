/**
 * The chunks that a tree has, without a store: what an update from or to a directory or archive would cost.
 * @module
 */
import { type Progress, silentProgress } from "@imgtool/core";
import { defaultArchiveFlags } from "@imgtool/catar";
import {
  type ChunkIndex,
  chunkSizes,
  type ChunkSizes,
  decodeIndex,
  digestOfFlags,
  IndexEncoder,
} from "@imgtool/chunker";
import type { ReadStore, WriteStore } from "@imgtool/store";
import { ChunkPipeline } from "../chunk-pipeline.ts";
import { recordedFlags, withFlags } from "./diff-tree.ts";
import { archiveBytes, type TreeSource } from "./tree-source.ts";

export interface CutTreeOptions {
  /** A directory or archive; one that can be read again, since its beginning is looked at first. */
  readonly source: TreeSource;
  /** Feature flags with which a directory is recorded. Default: casync's. */
  readonly flags?: bigint | undefined;
  /** Default: casync's, 64 KiB on average. */
  readonly sizes?: ChunkSizes | undefined;
  /**
   * Whether chunks are compressed, so that `store` knows their sizes; those of this index are not. Default: none
   * is.
   */
  readonly measureBeside?: ChunkIndex | undefined;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface CutTree {
  readonly index: ChunkIndex;
  /** Says how much the chunks that were measured would take up in a store with zstd. Holds none of them. */
  readonly store: ReadStore;
}

/** Cuts a tree into chunks. @throws as archiveBytes(); AbortedError */
export async function cutTree(options: CutTreeOptions): Promise<CutTree> {
  const { measureBeside, progress = silentProgress, signal } = options;
  const source = withFlags(options.source, options.flags ?? defaultArchiveFlags);
  const flags = (await recordedFlags(source)) ?? defaultArchiveFlags;
  const sizes = options.sizes ?? chunkSizes();
  const store = measuringStore(measureBeside);
  const encoder = new IndexEncoder(flags, sizes);
  const index: Uint8Array[] = [encoder.head()];
  using task = progress.start({ label: "cut tree", unit: "bytes" });
  await using pipeline = await ChunkPipeline.open({
    sizes,
    digest: digestOfFlags(flags),
    ...(measureBeside === undefined ? {} : { store }),
    signal,
    onChunk(size, id) {
      const entry = new Uint8Array(entrySize);
      encoder.entryInto(entry, 0, size, id);
      index.push(entry);
    },
  });
  for await (const bytes of archiveBytes(source, signal)) {
    await pipeline.write(bytes);
    task.advance(bytes.length);
  }
  await pipeline.finish();
  index.push(encoder.tail());
  task.done();
  return { index: decodeIndex(Buffer.concat(index)), store };
}

const entrySize = 40;

/** A store that only counts, and lacks what the index does not have. */
function measuringStore(known: ChunkIndex | undefined): WriteStore {
  const sizes = new Map<string, number>();
  if (known !== undefined) for (let i = 0; i < known.count; i++) sizes.set(known.name(i), 0);
  const has = (name: string): Promise<boolean> => Promise.resolve(sizes.has(name));
  return {
    location: "nowhere",
    has,
    keep: has,
    put(name, chunk) {
      sizes.set(name, chunk.bytes.length);
      return Promise.resolve(true);
    },
    get: () => Promise.resolve(undefined),
    storedSize: (name) => Promise.resolve(sizes.get(name)),
    flush: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}
