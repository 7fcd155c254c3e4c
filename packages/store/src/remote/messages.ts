/**
 * The messages of casync's remote protocol, as bytes and back: what `casync pull` and `casync push`
 * speak on standard input and output (caprotocol.h). A frame is its size, this 16-byte header
 * included, its type, and a body; all numbers are unsigned 64-bit little-endian. Pure.
 * @module
 */
import { FormatError, fromHex, toHex } from "@imgtool/core";

export type Message =
  /** First of each side: what it offers and wants, see features.ts. */
  | { readonly type: "hello"; readonly features: bigint }
  /** A piece of an index or archive, and its end. */
  | { readonly type: "index" | "archive"; readonly bytes: Uint8Array }
  | { readonly type: "index-end" | "archive-end" }
  /** Chunks that are wanted, by their names (64 hexadecimal digits). */
  | { readonly type: "request"; readonly urgent: boolean; readonly names: readonly string[] }
  /** A chunk as it is stored. */
  | { readonly type: "chunk"; readonly name: string; readonly compressed: boolean; readonly bytes: Uint8Array }
  | { readonly type: "missing"; readonly name: string }
  | { readonly type: "goodbye" }
  /** The end, because of an error; `errno` as Linux has it, or 0. */
  | { readonly type: "abort"; readonly errno: number; readonly reason: string };

export type MessageType = Message["type"];

export const frameHeaderSize = 16;
/** Largest frame, header included; casync refuses larger ones. */
export const maxFrameSize: number = 16 * 1024 ** 2;

const idSize = 32;
const chunkHead: number = frameHeaderSize + 8 + idSize;
const requestHead: number = frameHeaderSize + 8;
/** Largest stored chunk that fits into a frame, in bytes. */
export const maxChunkPayload: number = maxFrameSize - chunkHead;
const maxReason = 4096;

interface Kind {
  readonly type: MessageType;
  readonly mark: bigint;
  /** Smallest and largest frame. */
  readonly min: number;
  readonly max: number;
}

function kind(type: MessageType, mark: bigint, min: number, max = min): Kind {
  return { type, mark, min, max };
}

const kinds: readonly Kind[] = [
  kind("hello", 0x3c71_d094_8ca5_fbeen, frameHeaderSize + 8),
  kind("index", 0xb32a_91dd_2b3e_27f8n, frameHeaderSize + 1, maxFrameSize),
  kind("index-end", 0x4f09_32f1_0437_18f5n, frameHeaderSize),
  kind("archive", 0x95d6_428a_69ed_dcc5n, frameHeaderSize + 1, maxFrameSize),
  kind("archive-end", 0x450b_ef66_3f24_cbadn, frameHeaderSize),
  kind("request", 0x8ab4_27e0_f89d_9210n, requestHead + idSize, maxFrameSize),
  kind("chunk", 0x5213_dd18_0a84_bc8cn, chunkHead + 1, maxFrameSize),
  kind("missing", 0xd010_f9fa_c82b_7b6cn, frameHeaderSize + idSize),
  kind("goodbye", 0xad20_5dbf_1a36_86c3n, frameHeaderSize),
  kind("abort", 0xe7d9_136b_7efe_a352n, frameHeaderSize + 9, frameHeaderSize + 9 + maxReason),
];

const byMark: ReadonlyMap<bigint, Kind> = new Map(kinds.map((one) => [one.mark, one]));
const byType: ReadonlyMap<MessageType, Kind> = new Map(kinds.map((one) => [one.type, one]));

export interface FrameHeader {
  readonly type: MessageType;
  /** Bytes of the whole frame. */
  readonly size: number;
}

/**
 * The header of a frame, with a size that its type allows: nothing is kept for a frame before that.
 * @param offset where it is in the peer's stream, for messages
 * @throws FormatError `protocol-frame`
 */
export function decodeHeader(bytes: Uint8Array, offset: number): FrameHeader {
  const view = viewOf(bytes);
  const [size, mark] = [view.getBigUint64(0, true), view.getBigUint64(8, true)];
  const found = byMark.get(mark);
  if (found === undefined) throw frameError(offset + 8, "unknown type of frame", "a known one", hex(mark));
  const { type, min, max } = found;
  if (size < BigInt(min) || size > BigInt(max)) {
    const expected = min === max ? `${min} bytes` : `${min} to ${max} bytes`;
    throw frameError(offset, `wrong size of a frame of type ${type}`, expected, `${size}`);
  }
  return { type, size: Number(size) };
}

/**
 * The message in a whole frame. Bytes of chunks and files are views into it.
 * @throws FormatError `protocol-frame`
 */
export function decodeFrame(frame: Uint8Array, offset: number): Message {
  const { type } = decodeHeader(frame, offset);
  const view = viewOf(frame);
  switch (type) {
    case "hello":
      return { type, features: view.getBigUint64(frameHeaderSize, true) };
    case "index":
    case "archive":
      return { type, bytes: frame.subarray(frameHeaderSize) };
    case "request":
      return { type, urgent: decodeFlag(view, offset), names: decodeNames(frame, offset) };
    case "chunk": {
      const name = toHex(frame.subarray(chunkHead - idSize, chunkHead));
      return { type, name, compressed: decodeFlag(view, offset), bytes: frame.subarray(chunkHead) };
    }
    case "missing":
      return { type, name: toHex(frame.subarray(frameHeaderSize)) };
    case "abort":
      return decodeAbort(frame, view, offset);
    default:
      return { type };
  }
}

/** The bit that requests and chunks have; others are not known. */
function decodeFlag(view: DataView, offset: number): boolean {
  const flags = view.getBigUint64(frameHeaderSize, true);
  if (flags > 1n) throw frameError(offset + frameHeaderSize, "unknown flags", "0 or 1", hex(flags));
  return flags === 1n;
}

function decodeNames(frame: Uint8Array, offset: number): readonly string[] {
  if ((frame.length - requestHead) % idSize !== 0) {
    throw frameError(offset, "a request that ends amid an id", "whole ids of 32 bytes", `${frame.length} bytes`);
  }
  const names: string[] = [];
  for (let at = requestHead; at < frame.length; at += idSize) names.push(toHex(frame.subarray(at, at + idSize)));
  return names;
}

function decodeAbort(frame: Uint8Array, view: DataView, offset: number): Message {
  const errno = view.getBigUint64(frameHeaderSize, true);
  const at = frameHeaderSize + 8;
  const reason = frame.subarray(at, -1);
  if (errno > 0x7fff_ffffn) throw frameError(offset + frameHeaderSize, "no error number", "31 bits", hex(errno));
  if (frame.at(-1) !== 0 || reason.some((byte) => byte < 0x20)) {
    throw frameError(offset + at, "the reason of an abort is no text", "printable bytes, then a NUL", "others");
  }
  return { type: "abort", errno: Number(errno), reason: new TextDecoder().decode(reason) };
}

/**
 * A message's frame.
 * @throws FormatError `protocol-too-large` for what does not fit into a frame
 */
export function encodeMessage(message: Message): Uint8Array<ArrayBuffer> {
  switch (message.type) {
    case "hello":
      return frameOf("hello", [word(message.features)]);
    case "index":
    case "archive":
      return frameOf(message.type, [message.bytes]);
    case "request":
      return frameOf("request", [word(message.urgent ? 1n : 0n), ...message.names.map(fromHex)]);
    case "chunk":
      return frameOf("chunk", [word(message.compressed ? 1n : 0n), fromHex(message.name), message.bytes]);
    case "missing":
      return frameOf("missing", [fromHex(message.name)]);
    case "abort": {
      // casync refuses control characters, and so does this decoder.
      const text = new TextEncoder().encode(message.reason).map((byte) => (byte < 0x20 ? 0x20 : byte));
      return frameOf("abort", [word(BigInt(message.errno)), text.subarray(0, maxReason), new Uint8Array(1)]);
    }
    default:
      return frameOf(message.type, []);
  }
}

function frameOf(type: MessageType, parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const size = parts.reduce((sum, part) => sum + part.length, frameHeaderSize);
  if (size > maxFrameSize) {
    throw new FormatError(`a message of type ${type} with ${size} bytes, expected at most ${maxFrameSize}`, {
      code: "protocol-too-large",
      hint: "casync's remote protocol carries chunks of up to 16 MiB: make smaller ones (--chunk-size)",
      data: { type, expected: maxFrameSize, found: size },
    });
  }
  const frame = new Uint8Array(size);
  const view = viewOf(frame);
  view.setBigUint64(0, BigInt(size), true);
  view.setBigUint64(8, byType.get(type)?.mark ?? 0n, true);
  let at = frameHeaderSize;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}

function word(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, value, true);
  return bytes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

/** An error of the peer's stream. */
export function frameError(offset: number, what: string, expected: string, found: string): FormatError {
  return new FormatError(`remote protocol, offset ${offset}: ${what}: expected ${expected}, found ${found}`, {
    code: "protocol-frame",
    hint: "the peer does not speak casync's remote protocol, or not all of it arrived",
    data: { offset, expected, found },
  });
}
