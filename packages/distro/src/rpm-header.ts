/**
 * The header of an RPM package as rpm's database holds it: a table of tags, and a store of their values
 * (rpm-software-management.github.io, "RPM V4 Package format", header structure without its magic).
 * @module
 */
import { FormatError } from "@imgtool/core";

/** Numbers of the tags that imgtool reads or sets. */
export const rpmTags = {
  headerSha256: 273,
  name: 1000,
  version: 1001,
  release: 1002,
  epoch: 1003,
  installTime: 1008,
  license: 1014,
  architecture: 1022,
  sourcePackage: 1044,
  installTransaction: 1128,
} as const;

const int32Type = 4;
const textTypes: ReadonlySet<number> = new Set([6, 9]);
const prefixLength = 8;
const entryLength = 16;
// rpm's own limits (HEADER_TAGS_MAX, HEADER_DATA_MAX).
const maxTags = 65_535;
const maxData = 256 * 1024 ** 2;

interface Place {
  readonly type: number;
  /** Offset in the header's bytes. */
  readonly offset: number;
  readonly count: number;
}

export class RpmHeader {
  /** The header; `setNumber` changes it in place. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #places = new Map<number, Place>();

  /** @throws FormatError `rpm-header-invalid` */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < prefixLength) throw invalid(0, `${prefixLength} bytes`, bytes.length);
    const tags = this.#view.getUint32(0);
    const data = this.#view.getUint32(4);
    const store = prefixLength + tags * entryLength;
    if (tags > maxTags) throw invalid(0, `at most ${maxTags} tags`, tags);
    if (data > maxData || store + data !== bytes.length)
      throw invalid(4, `${bytes.length - store} bytes of data`, data);
    for (let at = prefixLength; at < store; at += entryLength) {
      const offset = this.#view.getUint32(at + 8);
      if (offset > data) throw invalid(at + 8, `an offset up to ${data}`, offset);
      this.#places.set(this.#view.getUint32(at), {
        type: this.#view.getUint32(at + 4),
        offset: store + offset,
        count: this.#view.getUint32(at + 12),
      });
    }
  }

  /** The text of a tag; of translated texts the first. Undefined where the header has none. */
  text(tag: number): string | undefined {
    const place = this.#places.get(tag);
    if (place === undefined || !textTypes.has(place.type)) return undefined;
    const end = this.bytes.indexOf(0, place.offset);
    if (end < 0) throw invalid(place.offset, "a text that ends", "none");
    return new TextDecoder().decode(this.bytes.subarray(place.offset, end));
  }

  /** The first number of a 32-bit tag, or undefined. */
  number(tag: number): number | undefined {
    const place = this.#number(tag);
    return place === undefined ? undefined : this.#view.getUint32(place.offset);
  }

  /** Sets every number of a 32-bit tag; a header without the tag stays as it is. */
  setNumber(tag: number, value: number): void {
    const place = this.#number(tag);
    if (place === undefined) return;
    for (let index = 0; index < place.count; index++) this.#view.setUint32(place.offset + 4 * index, value);
  }

  #number(tag: number): Place | undefined {
    const place = this.#places.get(tag);
    if (place === undefined || place.type !== int32Type || place.count === 0) return undefined;
    if (place.offset + 4 * place.count > this.bytes.length)
      throw invalid(place.offset, `${place.count} numbers`, "the end of the header");
    return place;
  }
}

function invalid(offset: number, expected: string, found: string | number): FormatError {
  return new FormatError(`RPM header, offset ${offset}: expected ${expected}, found ${found}`, {
    code: "rpm-header-invalid",
    hint: "the database of packages is damaged: build the tree anew",
    data: { offset, expected, found },
  });
}
