/**
 * DER, the distinguished encoding of ASN.1 (ITU-T X.690): elements of tag, length and content. Only what
 * certificates and signatures need: tags below 31, definite lengths.
 * @module
 */
import { compareBytes, concatBytes, FormatError } from "@imgtool/core";

/** Tags of universal and context-specific types, with the bit of constructed ones. */
export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

type Bytes = Uint8Array<ArrayBuffer>;

/** One element with this tag; its content is the parts in order. */
export function encodeElement(tag: number, ...parts: readonly Uint8Array[]): Bytes {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  const header = length < 0x80 ? [tag, length] : [tag, 0x80 | digits.length, ...digits];
  return concatBytes([Uint8Array.from(header), ...parts]);
}

export function encodeSequence(...parts: readonly Uint8Array[]): Bytes {
  return encodeElement(derTag.sequence, ...parts);
}

/** SET OF: DER puts its members in the order of their bytes. */
export function encodeSetOf(members: readonly Uint8Array[], tag: number = derTag.set): Bytes {
  return encodeElement(tag, ...[...members].sort(compareBytes));
}

/** The tag `[number]`, constructed: EXPLICIT around whole elements, or IMPLICIT in place of SEQUENCE and SET. */
export function contextTag(number: number): number {
  return 0xa0 | number;
}

/** A whole number that is not negative. */
export function encodeInteger(value: bigint | number): Bytes {
  let digits = BigInt(value).toString(16);
  if (digits.length % 2 !== 0) digits = `0${digits}`;
  // A first bit of 1 would say negative.
  if (Number.parseInt(digits.slice(0, 2), 16) >= 0x80) digits = `00${digits}`;
  return encodeElement(
    derTag.integer,
    Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
  );
}

/** An object identifier in its dotted form. */
export function encodeOid(dotted: string): Bytes {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [];
  for (const arc of [40 * first + second, ...rest]) {
    const groups = [arc & 0x7f];
    for (let high = Math.floor(arc / 128); high > 0; high = Math.floor(high / 128))
      groups.unshift(0x80 | (high & 0x7f));
    bytes.push(...groups);
  }
  return encodeElement(derTag.oid, Uint8Array.from(bytes));
}

export function encodeNull(): Bytes {
  return encodeElement(derTag.null);
}

export function encodeOctetString(bytes: Uint8Array): Bytes {
  return encodeElement(derTag.octetString, bytes);
}

/** An element that was read: views into the bytes it was read from. */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Tag, length and content. */
  readonly whole: Uint8Array;
  /** Where it begins, for messages. */
  readonly offset: number;
}

/** Reads elements one after the other. */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #base: number;
  #at = 0;

  /** @param base offset of the bytes in what they are a part of, for messages */
  constructor(bytes: Uint8Array, base = 0) {
    this.#bytes = bytes;
    this.#base = base;
  }

  /** A reader of a constructed element's members. */
  static into(element: DerElement): DerReader {
    return new DerReader(element.content, element.offset + element.whole.length - element.content.length);
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The tag of the next element, or undefined at the end. */
  get nextTag(): number | undefined {
    return this.#bytes[this.#at];
  }

  /**
   * The next element, which must have this tag where one is given.
   * @throws FormatError `der-invalid` when the bytes end early, the length is not in its shortest form, or
   *   the tag is another
   */
  read(tag?: number): DerElement {
    const start = this.#at;
    const found = this.#byte(start);
    if (tag !== undefined && found !== tag) this.#refuse(start, `tag 0x${tag.toString(16)}`, `0x${found.toString(16)}`);
    if ((found & 0x1f) === 0x1f) this.#refuse(start, "a tag below 31", `0x${found.toString(16)}`);
    let length = this.#byte(start + 1);
    let at = start + 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 4) this.#refuse(start + 1, "a length of 1 to 4 bytes", `${count} bytes`);
      length = 0;
      for (; at < start + 2 + count; at++) length = length * 256 + this.#byte(at);
      if (length < 0x80 || length < 256 ** (count - 1))
        this.#refuse(start + 1, "a length in its shortest form", `${count} bytes for ${length}`);
    }
    const end = at + length;
    if (end > this.#bytes.length) this.#refuse(start, `${length} bytes of content`, `${this.#bytes.length - at}`);
    this.#at = end;
    return {
      tag: found,
      content: this.#bytes.subarray(at, end),
      whole: this.#bytes.subarray(start, end),
      offset: this.#base + start,
    };
  }

  /** @throws FormatError `der-invalid` when anything follows */
  end(): void {
    if (!this.done) this.#refuse(this.#at, "the end", `${this.#bytes.length - this.#at} bytes more`);
  }

  #byte(at: number): number {
    return this.#bytes[at] ?? this.#refuse(at, "an element", "the end");
  }

  #refuse(at: number, expected: string, found: string): never {
    const offset = this.#base + at;
    throw new FormatError(`DER at byte ${offset}: expected ${expected}, found ${found}`, {
      code: "der-invalid",
      data: { offset, expected, found },
    });
  }
}
