/**
 * Cuts pushed bytes into records. Bodies are collected, within bounds known before, except for
 * payloads, which pass through as they come.
 * @module
 */
import { CatarError, truncatedError } from "./errors.ts";
import type { RawRecord } from "./fields.ts";
import { bodySizes, headerSize, recordName, type RecordName } from "./records.ts";

export type ReaderEvent =
  | { readonly type: "record"; readonly record: RawRecord }
  /** PAYLOAD began; its bytes come as data, `size` in all. */
  | { readonly type: "payload"; readonly offset: number; readonly size: number }
  /** Bytes of the payload, a view of what was pushed. */
  | { readonly type: "data"; readonly bytes: Uint8Array }
  | { readonly type: "payload-end" };

/** Called with each header before anything is collected; throws when the record cannot stand here. */
export type HeaderCheck = (name: RecordName, bodySize: number, offset: number) => void;

export class RecordReader {
  readonly #check: HeaderCheck;
  readonly #header = new Uint8Array(headerSize);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerFill = 0;
  #body: { name: RecordName; offset: number; bytes: Uint8Array; fill: number } | undefined;
  #payloadLeft = 0;
  #offset = 0;

  constructor(check: HeaderCheck) {
    this.#check = check;
  }

  /** Bytes taken so far. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes of the payload under way that are still to come; 0 outside of payloads. */
  get payloadLeft(): number {
    return this.#payloadLeft;
  }

  /** Passes over bytes of the payload under way, no more than payloadLeft. */
  *skip(count: number): Generator<ReaderEvent, void> {
    this.#offset += count;
    this.#payloadLeft -= count;
    if (count > 0 && this.#payloadLeft === 0) yield { type: "payload-end" };
  }

  /** Yields what the bytes complete. The generator must be run to its end before the next push. */
  *push(bytes: Uint8Array): Generator<ReaderEvent, void> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#payloadLeft > 0) {
        const data = bytes.subarray(at, at + Math.min(this.#payloadLeft, bytes.length - at));
        at += data.length;
        this.#offset += data.length;
        this.#payloadLeft -= data.length;
        yield { type: "data", bytes: data };
        if (this.#payloadLeft === 0) yield { type: "payload-end" };
      } else if (this.#body === undefined) {
        const part = bytes.subarray(at, at + headerSize - this.#headerFill);
        this.#header.set(part, this.#headerFill);
        this.#headerFill += part.length;
        this.#offset += part.length;
        at += part.length;
        if (this.#headerFill === headerSize) yield* this.#openRecord();
      } else {
        const body = this.#body;
        const part = bytes.subarray(at, at + body.bytes.length - body.fill);
        body.bytes.set(part, body.fill);
        body.fill += part.length;
        this.#offset += part.length;
        at += part.length;
        if (body.fill === body.bytes.length) {
          this.#body = undefined;
          yield { type: "record", record: { name: body.name, offset: body.offset, body: body.bytes } };
        }
      }
    }
  }

  /** @throws CatarError `catar-truncated` inside a record */
  finish(): void {
    if (this.#payloadLeft > 0) throw truncatedError(this.#offset, `${this.#payloadLeft} bytes of payload`);
    if (this.#body !== undefined) {
      throw truncatedError(this.#offset, `${this.#body.bytes.length - this.#body.fill} bytes of ${this.#body.name}`);
    }
    if (this.#headerFill > 0) throw truncatedError(this.#offset, "the rest of a record's header");
  }

  *#openRecord(): Generator<ReaderEvent, void> {
    this.#headerFill = 0;
    const offset = this.#offset - headerSize;
    const size = this.#headerView.getBigUint64(0, true);
    const type = this.#headerView.getBigUint64(8, true);
    const name = recordName(type);
    if (name === undefined) {
      // What begins with another record is no archive, whatever its name says.
      throw new CatarError("catar-record-unknown", offset === 0 ? "this is no archive of casync's" : "unknown record", {
        offset,
        expected: "a record type of the archive format",
        found: `0x${type.toString(16).padStart(16, "0")}`,
      });
    }
    const { min, max } = bodySizes[name];
    if (size < BigInt(headerSize + min) || size > BigInt(headerSize + max)) {
      throw new CatarError("catar-record-size", `${name} has an impossible size`, {
        offset,
        expected: min === max ? `${headerSize + min} bytes` : `${headerSize + min} to ${headerSize + max} bytes`,
        found: `${size} bytes`,
      });
    }
    const bodySize = Number(size) - headerSize;
    this.#check(name, bodySize, offset);
    if (name === "payload") {
      this.#payloadLeft = bodySize;
      yield { type: "payload", offset, size: bodySize };
      if (bodySize === 0) yield { type: "payload-end" };
    } else {
      this.#body = { name, offset, bytes: new Uint8Array(bodySize), fill: 0 };
    }
  }
}
