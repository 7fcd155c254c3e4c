/**
 * What is done for each chunk that is read ahead: read from the local store or from a seed, decompressed
 * and verified. A chunk that cannot be had this way is left to whoever wants it, who knows the other
 * stores and how to report it. Everything is synchronous.
 * @module
 */
import { hash } from "node:crypto";
import { readSync } from "node:fs";
import { FormatError, IntegrityError, toHex } from "@imgtool/core";
import type { DigestAlgorithm } from "@imgtool/chunker";
import { maxStoredBytes, openChunk, SyncLocalStore } from "@imgtool/store/blocking";
import { orderRange, orderStored, ReadRing, type ReadRingMemory, stateFailed, stateWhole } from "./read-ring.ts";

export interface ReadWorkOptions {
  readonly memory: ReadRingMemory;
  readonly digest: DigestAlgorithm;
  /** Directory of the store. */
  readonly store: string;
}

export class ReadWork {
  readonly #ring: ReadRing;
  readonly #digest: DigestAlgorithm;
  readonly #store: SyncLocalStore;
  /** Memory that each chunk is read into: new memory for each costs as much as the work. */
  readonly #stored: Uint8Array;

  constructor({ memory, digest, store }: ReadWorkOptions) {
    this.#ring = new ReadRing(memory);
    this.#digest = digest;
    this.#store = new SyncLocalStore(store);
    this.#stored = Buffer.allocUnsafeSlow(maxStoredBytes(memory.largest));
  }

  /** Carries out an order. @throws EnvironmentError when the store cannot be read */
  do(ticket: number): void {
    const bytes = this.#fetch(ticket);
    this.#ring.finish(ticket, bytes === undefined ? stateFailed : stateWhole, bytes);
  }

  /** Puts the chunk into its slot; returns the bytes that were read for it, or undefined. */
  #fetch(ticket: number): number | undefined {
    const ring = this.#ring;
    const target = ring.chunk(ticket);
    const name = toHex(ring.id(ticket));
    const order = ring.order(ticket);
    if (order === orderStored) return this.#fetchStored(name, target);
    if (order === orderRange && !readRange(ring.descriptor(ticket), ring.offset(ticket), target)) return undefined;
    return hash(this.#digest, target, "hex") === name ? 0 : undefined;
  }

  #fetchStored(name: string, target: Uint8Array): number | undefined {
    const store = this.#store;
    try {
      const chunk = store.get(name, maxStoredBytes(target.length), this.#stored);
      if (chunk === undefined) return undefined;
      const plain = openChunk(chunk, name, target.length, this.#digest, store.location, target);
      if (plain.buffer !== target.buffer) target.set(plain);
      return chunk.bytes.length;
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
