/**
 * Reads a chunk from the first store that holds it whole: the one place where stored bytes become
 * plain bytes. They are decompressed within the size that the index declares and digested before
 * anyone sees them, so that a store need not be trusted.
 * @module
 */
import type { DigestAlgorithm } from "@imgtool/chunker";
import {
  AbortedError,
  errorMessage,
  FormatError,
  ImgtoolError,
  IntegrityError,
  NotFoundError,
  throwIfAborted,
} from "@imgtool/core";
import { checkChunkName } from "./chunk-path.ts";
import { decompressChunk, decompressChunkInto } from "./codecs.ts";
import { chunkName } from "./digest.ts";
import { maxStoredBytes } from "./limits.ts";
import type { ChunkName, ReadStore, StoredChunk } from "./store.ts";

/**
 * The plain bytes of a chunk.
 *
 * Stores are asked in order. One that fails or holds the chunk altered is passed over; its error is
 * thrown only when no later store has the chunk. A damaged copy is removed, and its store asked once more.
 * @param size the chunk's length in bytes as the index declares it
 * @throws IntegrityError `chunk-altered` when a store holds other bytes under the name; NotFoundError
 *   `chunk-missing` when no store holds it; what a store threw, when it could not tell; AbortedError
 */
export async function readChunk(
  stores: readonly ReadStore[],
  name: ChunkName,
  size: number,
  digest: DigestAlgorithm = "sha512-256",
  signal?: AbortSignal,
): Promise<Uint8Array> {
  return (await findChunk(stores, name, size, digest, signal)).plain;
}

/** As readChunk(), but the chunk as it is stored, which was verified all the same: to be stored elsewhere. */
export async function readStoredChunk(
  stores: readonly ReadStore[],
  name: ChunkName,
  size: number,
  digest: DigestAlgorithm = "sha512-256",
  signal?: AbortSignal,
): Promise<StoredChunk> {
  return (await findChunk(stores, name, size, digest, signal)).stored;
}

interface FoundChunk {
  readonly stored: StoredChunk;
  readonly plain: Uint8Array;
}

async function findChunk(
  stores: readonly ReadStore[],
  name: ChunkName,
  size: number,
  digest: DigestAlgorithm,
  signal: AbortSignal | undefined,
): Promise<FoundChunk> {
  checkChunkName(name);
  const getAndOpen = async (store: ReadStore): Promise<FoundChunk | undefined> => {
    for (let isAgain = false; ; isAgain = true) {
      const stored = await store.get(name, signal, maxStoredBytes(size));
      if (stored === undefined) return undefined;
      try {
        return { stored, plain: openChunk(stored, name, size, digest, store.location) };
      } catch (error) {
        // A copy may be damaged where the original is whole; what comes damaged twice is not kept either.
        const wasCopy = error instanceof IntegrityError && (await store.discard?.(name)) === true;
        if (!wasCopy || isAgain) throw error;
      }
    }
  };
  let altered: IntegrityError | undefined;
  let failed: ImgtoolError | undefined;
  for (const store of stores) {
    throwIfAborted(signal);
    try {
      const found = await getAndOpen(store);
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof ImgtoolError) || error instanceof AbortedError) throw error;
      if (error instanceof IntegrityError) altered ??= error;
      else failed ??= error;
    }
  }
  throw altered ?? failed ?? missingChunk(stores, name);
}

/**
 * The verified plain bytes of a stored chunk.
 * @param location the store it comes from, for messages
 * @param memory of at least `size` bytes that they may be put into, instead of new memory
 * @throws IntegrityError `chunk-altered`; EnvironmentError `codec-missing`
 */
export function openChunk(
  chunk: StoredChunk,
  name: ChunkName,
  size: number,
  digest: DigestAlgorithm,
  location: string,
  memory?: Uint8Array,
): Uint8Array {
  let plain: Uint8Array;
  try {
    plain = memory === undefined ? decompressChunk(chunk, size) : decompressChunkInto(chunk, memory.subarray(0, size));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw alteredChunk(name, location, { expectedSize: size, found: error.code }, errorMessage(error), error);
  }
  if (plain.length !== size) {
    const facts = { expectedSize: size, foundSize: plain.length };
    throw alteredChunk(name, location, facts, `expected ${size} bytes, found ${plain.length}`);
  }
  const found = chunkName(plain, digest);
  if (found === name) return plain;
  const facts = { expected: name, found, algorithm: digest };
  throw alteredChunk(name, location, facts, `expected the ${digest} digest ${name}, found ${found}`);
}

function alteredChunk(
  name: ChunkName,
  location: string,
  facts: Readonly<Record<string, unknown>>,
  reason: string,
  cause?: unknown,
): IntegrityError {
  return new IntegrityError(`chunk ${name} in the store ${location} is altered: ${reason}`, {
    code: "chunk-altered",
    hint: "remove the chunk from that store and publish again, or add a store that holds it whole",
    data: { chunk: name, store: location, expected: name, ...facts },
    cause,
  });
}

function missingChunk(stores: readonly ReadStore[], name: ChunkName): NotFoundError {
  const locations = stores.map((store) => store.location);
  const where = locations.length === 0 ? "no store was given" : `tried ${locations.join(", ")}`;
  return new NotFoundError(`chunk ${name} is missing: ${where}`, {
    code: "chunk-missing",
    hint: "name the store that the index was made with (--store, --extra-store), or publish again",
    data: { chunk: name, stores: locations },
  });
}
