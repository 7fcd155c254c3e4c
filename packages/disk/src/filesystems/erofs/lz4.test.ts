import { needPrograms, randomBytes, tryRun } from "@imgtool/testkit";
import { array, assert, constantFrom, nat, oneof, property, tuple, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { makeLz4Compressor } from "./lz4.ts";

/** After the format's description, with its rules for the end of a block. */
function decompress(block: Uint8Array): Buffer {
  const out: number[] = [];
  let at = 0;
  const more = (short: number): number => {
    let length = short;
    if (short < 15) return length;
    for (let next = 255; next === 255; length += next) next = block[at++] as number;
    return length;
  };
  for (;;) {
    const token = block[at++] as number;
    const literals = more(token >> 4);
    for (const byte of block.subarray(at, at + literals)) out.push(byte);
    at += literals;
    if (at >= block.length) {
      expect([at, token & 15]).toEqual([block.length, 0]);
      if (out.length > literals) expect(literals).toBeGreaterThanOrEqual(5);
      return Buffer.from(out);
    }
    const distance = (block[at] as number) | ((block[at + 1] as number) << 8);
    at += 2;
    const begin = out.length;
    const length = more(token & 15) + 4;
    if (distance === 0 || distance > begin) throw new Error(`a match at ${begin} from ${distance} before`);
    for (let index = 0; index < length; index++) out.push(out[begin + index - distance] as number);
    ends.push(begin);
  }
}
/** Where matches began. */
let ends: number[] = [];

const levels = [0, 1, 4, 9, 12];

function roundTrip(bytes: Uint8Array, level: number, room = bytes.length + 64 + Math.ceil(bytes.length / 255)): number {
  const target = new Uint8Array(room);
  const length = makeLz4Compressor(level).compress(bytes, target);
  expect(length).toBeGreaterThan(0);
  ends = [];
  expect(decompress(target.subarray(0, length)).equals(Buffer.from(bytes))).toBe(true);
  expect(Math.max(0, ...ends)).toBeLessThanOrEqual(Math.max(0, bytes.length - 12));
  return length;
}

const text = (size: number): Buffer => {
  const words = randomBytes(2 * size, "words");
  const pieces: string[] = [];
  for (let at = 0, length = 0; length < size; at += 2) {
    const word = `${"etaoinshrdlu".slice((words[at] ?? 0) % 9)} ${(words[at + 1] ?? 0) % 50}\n`;
    pieces.push(word);
    length += word.length;
  }
  return Buffer.from(pieces.join("").slice(0, size));
};

test.each(levels)("level %d: sizes around the rules for the end, zeros, noise, text", (level) => {
  for (let size = 0; size < 40; size++) {
    roundTrip(new Uint8Array(size), level);
    roundTrip(randomBytes(size, String(size)), level);
  }
  for (const size of [254 + 15 + 4, 255 + 15 + 4, 4095, 4096, 65_535, 65_536]) {
    roundTrip(new Uint8Array(size), level);
    roundTrip(randomBytes(size, String(size)), level);
    roundTrip(text(size), level);
  }
  // Matches at the longest distance, and one byte beyond it.
  for (const distance of [65_534, 65_535, 65_536, 65_537]) {
    const bytes = Buffer.from(randomBytes(80_000, "far"));
    bytes.copy(bytes, distance, 0, 2000);
    const length = roundTrip(bytes, level);
    expect(length).toBeLessThan(distance <= 65_535 && level > 0 ? 79_000 : 81_000);
  }
  expect(roundTrip(new Uint8Array(15 * 65_536), level)).toBeLessThanOrEqual(4096);
});

test("any bytes come back, at any level", () => {
  const piece = oneof(
    uint8Array({ maxLength: 60 }),
    tuple(nat(255), nat(700)).map(([byte, count]) => new Uint8Array(count).fill(byte)),
    constantFrom("a", "ab", "abc abc", "longer, longer and longer").map((one) => Buffer.from(one)),
  );
  assert(
    property(array(piece, { maxLength: 40 }), constantFrom(...levels), (pieces, level) => {
      roundTrip(Buffer.concat(pieces), level);
    }),
    { numRuns: 300 },
  );
});

test("what has no room is not written beyond it", () => {
  const bytes = text(20_000);
  for (const level of levels) {
    const compressor = makeLz4Compressor(level);
    const least = compressor.compress(bytes, new Uint8Array(30_000));
    const target = new Uint8Array(least + 8).fill(0xee);
    expect(compressor.compress(bytes, target.subarray(0, least))).toBe(least);
    expect(target.subarray(least).every((byte) => byte === 0xee)).toBe(true);
    for (const room of [0, 1, 100, least >> 1, least - 1])
      expect(compressor.compress(bytes, target.subarray(0, room))).toBe(0);
  }
});

test("higher levels take less", () => {
  const bytes = text(65_536);
  const sizes = [0, 4, 9, 12].map((level) => roundTrip(bytes, level));
  expect([...sizes].sort((a, b) => b - a)).toEqual(sizes);
});

test("lz4(1) reads it", (context) => {
  needPrograms(context, "lz4");
  const bytes = text(65_536);
  for (const level of levels) {
    const target = new Uint8Array(65_536);
    const length = makeLz4Compressor(level).compress(bytes, target);
    // A frame of the first format: its magic number, then blocks with their lengths.
    const frame = Buffer.alloc(8 + length);
    frame.writeUInt32LE(0x184c2102, 0);
    frame.writeUInt32LE(length, 4);
    frame.set(target.subarray(0, length), 8);
    expect(Buffer.compare(tryRun("lz4", ["-d", "-c"], { input: frame }).stdout, bytes)).toBe(0);
  }
});

test.each([-1, 13, 1.5])("level %d is refused", (level) => {
  expect(() => makeLz4Compressor(level)).toThrow(RangeError);
});
