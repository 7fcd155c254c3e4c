/**
 * DNS messages as far as multicast DNS needs them: RFC 1035 section 4, with the bits that RFC 6762 gives
 * another meaning. Bytes in, records out; what is not in order is no message at all.
 * @module
 */

export const typeA = 1;
export const typePtr = 12;
export const typeTxt = 16;
export const typeSrv = 33;
export const typeAny = 255;

interface Question {
  /** Labels joined by dots: names with a dot within a label are not made here. */
  readonly name: string;
  readonly type: number;
  /** Whether the answer may come to the asker alone (the top bit of the class). */
  readonly unicast: boolean;
}

export type DnsRecord = { readonly name: string; readonly ttl: number; readonly unique: boolean } & (
  | { readonly type: typeof typeA; readonly address: string }
  | { readonly type: typeof typePtr; readonly target: string }
  | { readonly type: typeof typeTxt; readonly texts: readonly string[] }
  | { readonly type: typeof typeSrv; readonly port: number; readonly target: string }
);

export interface DnsMessage {
  readonly id: number;
  readonly isResponse: boolean;
  readonly questions: readonly Question[];
  /** Answers, and what came beside them. */
  readonly records: readonly DnsRecord[];
}

const classInternet = 1;
const topBit = 0x8000;
/** Response, and authoritative. */
const responseFlags = 0x8400;
const [longestName, longestLabel, longestText] = [255, 63, 255] as const;

/** The bytes of a message. Names are not compressed: the messages are short. */
export function encodeMessage({ id, isResponse, questions, records }: DnsMessage): Uint8Array {
  const parts: Uint8Array[] = [numbers(id, isResponse ? responseFlags : 0, questions.length, records.length, 0, 0)];
  for (const { name, type, unicast } of questions)
    parts.push(encodeName(name), numbers(type, classInternet | (unicast ? topBit : 0)));
  for (const record of records) {
    const data = encodeData(record);
    const ttl = Buffer.alloc(4);
    ttl.writeUInt32BE(record.ttl);
    const classBits = classInternet | (record.unique ? topBit : 0);
    parts.push(encodeName(record.name), numbers(record.type, classBits), ttl, numbers(data.length), data);
  }
  return Buffer.concat(parts);
}

function numbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [i, value] of values.entries()) bytes.writeUInt16BE(value, i * 2);
  return bytes;
}

function encodeName(name: string): Buffer {
  const labels = name.split(".").map((label) => Buffer.from(label));
  return Buffer.concat([...labels.flatMap((label) => [Buffer.from([label.length]), label]), Buffer.from([0])]);
}

function encodeData(record: DnsRecord): Buffer {
  if (record.type === typeA) return Buffer.from(record.address.split(".").map(Number));
  if (record.type === typePtr) return encodeName(record.target);
  if (record.type === typeSrv) return Buffer.concat([numbers(0, 0, record.port), encodeName(record.target)]);
  const texts = record.texts.map((text) => Buffer.from(text).subarray(0, longestText));
  return Buffer.concat(texts.flatMap((text) => [Buffer.from([text.length]), text]));
}

/** The message in a packet, or undefined for anything else. Records of other types are left out. */
export function decodeMessage(packet: Uint8Array): DnsMessage | undefined {
  try {
    return readMessage(new Reader(Buffer.from(packet.buffer, packet.byteOffset, packet.length)));
  } catch (error) {
    // Beyond the packet, or as Reader finds it: anybody can send anything.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function readMessage(reader: Reader): DnsMessage {
  const [id, flags, questionCount] = [reader.number(), reader.number(), reader.number()];
  const recordCount = reader.number() + reader.number() + reader.number();
  const questions: Question[] = [];
  const records: DnsRecord[] = [];
  for (let i = 0; i < questionCount; i++) {
    const [name, type, classBits] = [reader.name(), reader.number(), reader.number()];
    questions.push({ name, type, unicast: (classBits & topBit) !== 0 });
  }
  for (let i = 0; i < recordCount; i++) {
    const record = readRecord(reader);
    if (record !== undefined) records.push(record);
  }
  return { id, isResponse: (flags & topBit) !== 0, questions, records };
}

function readRecord(reader: Reader): DnsRecord | undefined {
  const [name, type, classBits] = [reader.name(), reader.number(), reader.number()];
  const ttl = reader.number() * 0x1_0000 + reader.number();
  const end = reader.number() + reader.at;
  const common = { name, ttl, unique: (classBits & topBit) !== 0 };
  const record = readData(reader, common, type, end);
  reader.seek(end);
  return (classBits & ~topBit) === classInternet ? record : undefined;
}

function readData(
  reader: Reader,
  common: Pick<DnsRecord, "name" | "ttl" | "unique">,
  type: number,
  end: number,
): DnsRecord | undefined {
  if (type === typeA) return { ...common, type, address: [...reader.bytes(4)].join(".") };
  if (type === typePtr) return { ...common, type, target: reader.name() };
  if (type === typeSrv) {
    reader.bytes(4);
    return { ...common, type, port: reader.number(), target: reader.name() };
  }
  if (type !== typeTxt) return undefined;
  const texts: string[] = [];
  while (reader.at < end) texts.push(reader.bytes(reader.byte()).toString("utf8"));
  return { ...common, type, texts };
}

class Reader {
  at = 0;
  readonly #packet: Buffer;

  constructor(packet: Buffer) {
    this.#packet = packet;
  }

  byte(): number {
    return this.#packet.readUInt8(this.at++);
  }

  number(): number {
    this.at += 2;
    return this.#packet.readUInt16BE(this.at - 2);
  }

  bytes(length: number): Buffer {
    this.seek(this.at + length);
    return this.#packet.subarray(this.at - length, this.at);
  }

  seek(at: number): void {
    if (at > this.#packet.length) throw new RangeError("the packet ends within a record");
    this.at = at;
  }

  /** A name, which may go on at an earlier place; every jump goes further back, so that there is an end. */
  name(): string {
    const labels: string[] = [];
    let [after, limit, length] = [-1, this.at, 0];
    for (let size = this.byte(); size !== 0; size = this.byte()) {
      if (size >= 0xc0) {
        const target = (size & 0x3f) * 256 + this.byte();
        if (target >= limit) throw new RangeError("a name goes on at a later place");
        if (after < 0) after = this.at;
        [this.at, limit] = [target, target];
        continue;
      }
      length += size + 1;
      if (size > longestLabel || length > longestName) throw new RangeError("a name is too long");
      labels.push(this.bytes(size).toString("utf8"));
    }
    if (after >= 0) this.at = after;
    return labels.join(".");
  }
}
