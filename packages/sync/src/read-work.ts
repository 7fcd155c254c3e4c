/**
 * What is done for each chunk that is read ahead: read from the local store or from a seed, decompressed
 * and verified, and written where it goes to a file. A chunk that cannot be had this way is left to whoever wants it, who knows the other
 * stores and how to report it. Everything is synchronous.
 * @module
 */
import { hash } from "node:crypto";
import { readSync } from "node:fs";
import { FormatError, IntegrityError, toHex } from "@imgtool/core";
import type { DigestAlgorithm } from "@imgtool/chunker";
import type { LocalStorePlace, StoredChunk } from "@imgtool/store";
import { maxStoredBytes, openChunk, openSyncStore, type SyncStore } from "@imgtool/store/blocking";
import { ChunkPlacer, type PlacerOptions } from "./chunk-placer.ts";
import {
  orderRange,
  orderStaged,
  orderStored,
  ReadRing,
  type ReadRingMemory,
  stateFailed,
  stateWhole,
} from "./read-ring.ts";

export interface ReadWorkOptions {
  readonly memory: ReadRingMemory;
  readonly digest: DigestAlgorithm;
  /** The local store, where there is one. */
  readonly store: LocalStorePlace | undefined;
  /** The file that chunks with a position are written to. */
  readonly target?: PlacerOptions | undefined;
}

export class ReadWork implements Disposable {
  readonly #ring: ReadRing;
  readonly #digest: DigestAlgorithm;
  readonly #store: SyncStore | undefined;
  /** Memory that each chunk is read into: new memory for each costs as much as the work. */
  readonly #stored: Uint8Array;
  readonly #placer: ChunkPlacer | undefined;

  constructor({ memory, digest, store, target }: ReadWorkOptions) {
    this.#ring = new ReadRing(memory);
    this.#digest = digest;
    this.#store = store === undefined ? undefined : openSyncStore(store);
    this.#stored = Buffer.allocUnsafeSlow(store === undefined ? 0 : maxStoredBytes(memory.largest));
    this.#placer = target === undefined ? undefined : new ChunkPlacer(target);
  }

  [Symbol.dispose](): void {
    this.#placer?.[Symbol.dispose]();
  }

  /** Carries out an order. @throws EnvironmentError when the store cannot be read, or the file not be written */
  do(ticket: number): void {
    const bytes = this.#fetch(ticket);
    const position = this.#ring.position(ticket);
    if (bytes !== undefined && position >= 0) this.#placer?.place(position, this.#ring.chunk(ticket));
    this.#ring.finish(ticket, bytes === undefined ? stateFailed : stateWhole, bytes);
  }

  /** Puts the chunk into its slot; returns the bytes that were read for it, or undefined. */
  #fetch(ticket: number): number | undefined {
    const ring = this.#ring;
    const target = ring.chunk(ticket);
    const name = toHex(ring.id(ticket));
    const order = ring.order(ticket);
    if (order === orderStaged) return this.#open(ring.staged(ticket), name, target);
    if (order === orderStored) {
      const stored = this.#find(name, target.length);
      return stored === undefined ? undefined : this.#open(stored, name, target);
    }
    if (order === orderRange && !readRange(ring.descriptor(ticket), ring.offset(ticket), target)) return undefined;
    return hash(this.#digest, target, "hex") === name ? 0 : undefined;
  }

  #find(name: string, size: number): StoredChunk | undefined {
    try {
      return this.#store?.get(name, maxStoredBytes(size), this.#stored);
    } catch (error) {
      if (error instanceof FormatError) return undefined;
      throw error;
    }
  }

  #open(chunk: StoredChunk, name: string, target: Uint8Array): number | undefined {
    try {
      const plain = openChunk(chunk, name, target.length, this.#digest, this.#store?.location ?? "", target);
      if (plain.buffer !== target.buffer) target.set(plain);
      return this.#store?.storedBytes(chunk) ?? chunk.bytes.length;
    } catch (error) {
      if (error instanceof IntegrityError || error instanceof FormatError) return undefined;
      throw error;
    }
  }
}

/** Fills the target; false when the file ends before, or cannot be read: a seed is a shortcut. */
function readRange(descriptor: number, offset: number, target: Uint8Array): boolean {
  try {
    for (let done = 0; done < target.length;) {
      const count = readSync(descriptor, target, done, target.length - done, offset + done);
      if (count === 0) return false;
      done += count;
    }
    return true;
  } catch {
    return false;
  }
}
