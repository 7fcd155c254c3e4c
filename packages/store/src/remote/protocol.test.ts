/** The codec: round trips, pieces of any length, and peers that do not keep to the protocol. */
import { fromHex } from "@imgtool/core";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { checkFeatures, encodeMessage, FrameReader, maxFrameSize, type Message, remoteFeatures } from "./protocol.ts";

const name = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString("hex"));
const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 });
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ type: fc.constantFrom("index" as const, "archive" as const), bytes }),
  fc.record({ type: fc.constantFrom("index-end" as const, "archive-end" as const, "goodbye" as const) }),
  fc.record({ type: fc.constant("request" as const), urgent: fc.boolean(), names: fc.array(name, { minLength: 1 }) }),
  fc.record({ type: fc.constant("chunk" as const), name, compressed: fc.boolean(), bytes }),
  fc.record({ type: fc.constant("missing" as const), name }),
  fc.record({
    type: fc.constant("abort" as const),
    errno: fc.nat(0x7fff_ffff),
    reason: fc.string().filter((text) => !/\p{Cc}/u.test(text)),
  }),
);
const hello: Message = { type: "hello", features: 5n };

/** Reads a stream in pieces that end at the given places. */
function readPieces(stream: Uint8Array, cuts: readonly number[]): readonly Message[] {
  const reader = new FrameReader();
  const messages: Message[] = [];
  let from = 0;
  for (const cut of [...cuts.map((at) => at % (stream.length + 1)).toSorted((a, b) => a - b), stream.length]) {
    for (const one of reader.push(stream.slice(from, cut))) messages.push(plain(one));
    from = cut;
  }
  expect(reader.finish()).toBe(true);
  return messages;
}

function plain(one: Message): Message {
  return "bytes" in one ? { ...one, bytes: new Uint8Array(one.bytes) } : one;
}

test("messages come through, however the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.nat(5000), { maxLength: 12 }), (messages, cuts) => {
      const all = [hello, ...messages];
      expect(readPieces(Buffer.concat(all.map(encodeMessage)), cuts)).toEqual(all.map(plain));
    }),
  );
});

test("frames are casync's", () => {
  // What `casync pull` sends first when it has a store and an index.
  const greeting = fromHex("1800000000000000eefba58c94d0713c0500000000000000");
  expect(encodeMessage(hello)).toEqual(greeting);
  expect(readPieces(greeting, [])).toEqual([hello]);
});

/** The error that a stream after a greeting ends in. */
function refusal(...parts: readonly (Uint8Array | string)[]): unknown {
  try {
    const stream = parts.map((part) => (typeof part === "string" ? fromHex(part) : part));
    readPieces(Buffer.concat([encodeMessage(hello), ...stream]), []);
  } catch (error) {
    return error;
  }
  return undefined;
}

function frame(size: bigint, type: bigint, body = 0): Uint8Array {
  const whole = Buffer.alloc(16 + body);
  whole.writeBigUInt64LE(size, 0);
  whole.writeBigUInt64LE(type, 8);
  return whole;
}

const types = {
  hello: 0x3c71d0948ca5fbeen,
  index: 0xb32a91dd2b3e27f8n,
  request: 0x8ab427e0f89d9210n,
  chunk: 0x5213dd180a84bc8cn,
  missing: 0xd010f9fac82b7b6cn,
  goodbye: 0xad205dbf1a3686c3n,
  abort: 0xe7d9136b7efea352n,
};

test("frames that lie are refused at their header, with the offset", () => {
  const refused = { code: "protocol-frame", exitCode: 3, data: { offset: 24 } };
  expect(refusal(frame(0n, types.goodbye))).toMatchObject(refused);
  expect(refusal(frame(15n, types.goodbye))).toMatchObject(refused);
  expect(refusal(frame(17n, types.goodbye))).toMatchObject(refused);
  expect(refusal(frame(16n, types.index))).toMatchObject(refused);
  expect(refusal(frame(56n, types.chunk))).toMatchObject(refused);
  expect(refusal(frame(BigInt(maxFrameSize) + 1n, types.chunk))).toMatchObject(refused);
  expect(refusal(frame(2n ** 64n - 1n, types.index))).toMatchObject(refused);
  expect(refusal(frame(24n, types.request, 8))).toMatchObject(refused);
  expect(refusal(frame(57n, types.request, 41))).toMatchObject(refused);
  expect(refusal(frame(49n, types.missing, 33))).toMatchObject(refused);
  expect(refusal(frame(1_000_000n, types.abort))).toMatchObject(refused);
  expect(refusal(frame(16n, 0n))).toMatchObject({ code: "protocol-frame", data: { offset: 32 } });
  // An abort whose text would speak to the terminal, and one without an end.
  expect(refusal(frame(26n, types.abort, 8), "1b00")).toMatchObject({ code: "protocol-frame" });
  expect(refusal(frame(26n, types.abort, 8), "4141")).toMatchObject({ code: "protocol-frame" });
});

test("a stream must begin with one greeting", () => {
  expect(refusal(encodeMessage(hello))).toMatchObject({ code: "protocol-frame", data: { offset: 24 } });
  const reader = new FrameReader();
  // Nothing is kept of a large frame that comes first.
  expect(() => [...reader.push(frame(BigInt(maxFrameSize), types.chunk))]).toThrow(/does not begin with a greeting/);
  expect(() => [...new FrameReader().push(frame(1_000_000n, types.hello))]).toThrow(/expected 24 bytes/);
});

test("the end amid a frame is told from one between frames, and from the end of something else", () => {
  for (const text of ["hello", "Welcome"]) {
    const reader = new FrameReader();
    for (const one of reader.push(Buffer.from(text))) void one;
    expect(() => reader.finish()).toThrow(/does not begin with a greeting/);
  }
  const whole = Buffer.concat([encodeMessage(hello), encodeMessage({ type: "index", bytes: Buffer.alloc(100) })]);
  for (let length = 1; length < whole.length; length++) {
    const reader = new FrameReader();
    for (const one of reader.push(whole.subarray(0, length))) void one;
    expect([length, reader.finish()]).toEqual([length, length === 24]);
  }
});

test("any bytes are either messages or an error of the codec", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...Object.values(types)), (garbage, type) => {
      const outcome: unknown = refusal(frame(BigInt(16 + garbage.length), type), garbage) ?? { exitCode: 3 };
      expect(outcome).toMatchObject({ exitCode: 3 });
    }),
  );
});

test("what one side wants, the other must offer", () => {
  const { pullChunks, readableStore, pushChunks, pushIndexChunks, writableStore } = remoteFeatures;
  checkFeatures(pullChunks, readableStore);
  checkFeatures(readableStore, pullChunks);
  const refused: readonly (readonly [bigint, bigint])[] = [
    [pullChunks, 0n],
    [pullChunks, writableStore],
    [pullChunks, 0x2000n],
    [readableStore, pushChunks],
    [readableStore, readableStore],
    [writableStore, pushChunks | pushIndexChunks],
  ];
  for (const [local, remote] of refused) expect(() => checkFeatures(local, remote)).toThrow(/the remote side/);
});
