/**
 * Publishes a stream: its chunks into a store, then the index that names them.
 * @module
 */
import { makeAtomically } from "@imgtool/host";
import { digestOfFlags } from "@imgtool/chunker";
import type { StoreKey } from "@imgtool/store";
import { type ChunkedStream, ChunkPipeline, type ChunkPipelineOptions } from "./chunk-pipeline.ts";
import { IndexFileWriter, sealIndexFile } from "./index-file.ts";

export interface ChunkStreamOptions extends Omit<ChunkPipelineOptions, "digest"> {
  /** Path of the `.caibx` or `.caidx` to write. It is replaced when every chunk is stored. */
  readonly index: string;
  /** The index's feature flags; they name the digest. */
  readonly flags: bigint;
  /** With which the index is encrypted. */
  readonly key?: StoreKey | undefined;
}

/**
 * Publishes what `feed` writes into the pipeline. When anything throws, chunks may be left in the
 * store, where the next run finds them; the index is as it was before.
 */
export async function chunkStream(
  options: ChunkStreamOptions,
  feed: (pipeline: ChunkPipeline) => Promise<void>,
): Promise<ChunkedStream> {
  const make = async (temporary: string): Promise<ChunkedStream> => {
    using index = new IndexFileWriter(temporary, options.flags, options.sizes);
    await using pipeline = await ChunkPipeline.open({
      ...options,
      digest: digestOfFlags(options.flags),
      onChunk(size, id) {
        index.add(size, id);
        options.onChunk?.(size, id);
      },
    });
    await feed(pipeline);
    const result = await pipeline.finish();
    index.finish();
    if (options.key !== undefined) await sealIndexFile(temporary, options.key);
    return result;
  };
  return makeAtomically(options.index, make, { keepEqual: true });
}
