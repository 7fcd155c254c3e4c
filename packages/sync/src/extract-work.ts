/**
 * What the threads of an extraction from a local store do: read, decompress, verify and write chunks.
 * A chunk that cannot be had this way is left to what comes after them, which knows the other stores and
 * how to report it.
 * @module
 */
import { FormatError, IntegrityError, toHex } from "@imgtool/core";
import type { DigestAlgorithm } from "@imgtool/chunker";
import type { LocalStorePlace } from "@imgtool/store";
import { maxStoredBytes, openChunk, openSyncStore, type SyncStore } from "@imgtool/store/blocking";
import { ChunkPlacer, type PlacerOptions } from "./chunk-placer.ts";
import { outputError } from "./output-error.ts";

export interface ExtractWorkOptions extends PlacerOptions {
  readonly digest: DigestAlgorithm;
  /** Bytes of the largest chunk. */
  readonly largestChunk: number;
  readonly store: LocalStorePlace;
}

/** What has been done since the last report. */
export interface ExtractProgress {
  /** Bytes that are in their places now. */
  readonly written: number;
  readonly chunks: number;
  /** Bytes read from the store. */
  readonly bytesFetched: number;
}

/** Chunks between two reports. */
const reportEvery = 64;

/**
 * Takes chunks from the plan until there are no more, one at each step.
 * @throws what the store or the output threw
 */
export function* extractWork(
  options: ExtractWorkOptions,
  onProgress: (progress: ExtractProgress) => void,
): Generator<void, void> {
  try {
    using placer = new ChunkPlacer(options);
    yield* placeChunks(options, placer, onProgress);
  } catch (error) {
    throw outputError(error, options.output);
  }
}

function* placeChunks(
  { plan, digest, largestChunk, store: place }: ExtractWorkOptions,
  placer: ChunkPlacer,
  onProgress: (progress: ExtractProgress) => void,
): Generator<void, void> {
  const store = openSyncStore(place);
  // Memory that each chunk is read into and decompressed into: new memory for each costs as much as the work.
  const stored: Uint8Array = Buffer.allocUnsafeSlow(maxStoredBytes(largestChunk));
  const plain: Uint8Array = Buffer.allocUnsafeSlow(largestChunk);
  let [written, chunks, bytesFetched] = [0, 0, 0];
  const report = (): void => {
    onProgress({ written, chunks, bytesFetched });
    [written, chunks, bytesFetched] = [0, 0, 0];
  };
  for (;;) {
    const position = Atomics.add(plan.counters, 0, 1);
    const first = plan.firsts[position];
    if (first === undefined || Atomics.load(plan.counters, 1) === 1) break;
    if (plan.done[position] === 1) continue;
    const start = first === 0 ? 0 : (plan.ends[first - 1] ?? 0);
    const size = (plan.ends[first] ?? 0) - start;
    const name = toHex(plan.ids.subarray(first * 32, (first + 1) * 32));
    const fetched = fetch(store, name, size, digest, stored, plain);
    if (fetched !== undefined) {
      written += placer.place(position, fetched.bytes);
      bytesFetched += fetched.storedBytes;
      if (++chunks === reportEvery) report();
    }
    yield;
  }
  report();
}

/** The chunk's plain bytes, valid until the next call, and its length in the store; undefined when the store has no good copy. */
function fetch(
  store: SyncStore,
  name: string,
  size: number,
  digest: DigestAlgorithm,
  stored: Uint8Array,
  plain: Uint8Array,
): { readonly bytes: Uint8Array; readonly storedBytes: number } | undefined {
  try {
    const chunk = store.get(name, maxStoredBytes(size), stored);
    if (chunk === undefined) return undefined;
    return {
      bytes: openChunk(chunk, name, size, digest, store.location, plain),
      storedBytes: store.storedBytes(chunk),
    };
  } catch (error) {
    if (error instanceof IntegrityError || error instanceof FormatError) return undefined;
    throw error;
  }
}
