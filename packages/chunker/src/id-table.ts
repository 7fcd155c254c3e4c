/**
 * A map from 32-byte chunk ids to numbers in two typed arrays, 40 to 80 bytes an entry and no objects:
 * what tells a million known chunks apart on a small device.
 * @module
 */
import { digestLength } from "./digest.ts";

/** Ids are digests, so four of their bytes are hash enough for open addressing. */
function hashOf(ids: Uint8Array, at: number): number {
  return (
    (((ids[at] as number) << 24) |
      ((ids[at + 1] as number) << 16) |
      ((ids[at + 2] as number) << 8) |
      (ids[at + 3] as number)) >>>
    0
  );
}

/** Chunk ids in the order they were first added, each with a position 0, 1, 2, … */
export class IdTable {
  #ids: Uint8Array<ArrayBuffer>;
  /** Position + 1 of an id, 0 for a free slot; a power of two of slots, at most half of them used. */
  #slots: Int32Array;
  #count = 0;

  /** @param capacity ids expected; more make the table grow */
  constructor(capacity = 16) {
    this.#ids = new Uint8Array(Math.max(capacity, 1) * digestLength);
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(capacity, 8) * 2)));
  }

  /** Different ids added so far. */
  get count(): number {
    return this.#count;
  }

  /** Adds an id unless it is there. Returns its position: `count` before the call for a new one. */
  add(id: Uint8Array, at = 0): number {
    const slot = this.#slotOf(id, at);
    const found = this.#slots[slot] as number;
    if (found !== 0) return found - 1;
    if ((this.#count + 1) * digestLength > this.#ids.length) this.#growIds();
    this.#ids.set(id.subarray(at, at + digestLength), this.#count * digestLength);
    this.#slots[slot] = ++this.#count;
    if (this.#count * 2 > this.#slots.length) this.#growSlots();
    return this.#count - 1;
  }

  /** The position of an id, or −1. */
  find(id: Uint8Array, at = 0): number {
    return (this.#slots[this.#slotOf(id, at)] as number) - 1;
  }

  /** The id at a position: a view, valid until the next `add`. */
  id(position: number): Uint8Array {
    return this.#ids.subarray(position * digestLength, (position + 1) * digestLength);
  }

  #slotOf(id: Uint8Array, at: number): number {
    const mask = this.#slots.length - 1;
    let slot = hashOf(id, at) & mask;
    for (let found = this.#slots[slot] as number; found !== 0; found = this.#slots[slot] as number) {
      if (this.#equals((found - 1) * digestLength, id, at)) return slot;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #equals(own: number, id: Uint8Array, at: number): boolean {
    for (let i = 0; i < digestLength; i++) if (this.#ids[own + i] !== id[at + i]) return false;
    return true;
  }

  #growIds(): void {
    const ids = new Uint8Array(this.#ids.length * 2);
    ids.set(this.#ids);
    this.#ids = ids;
  }

  #growSlots(): void {
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let i = 0; i < this.#count; i++) this.#slots[this.#slotOf(this.#ids, i * digestLength)] = i + 1;
  }
}
