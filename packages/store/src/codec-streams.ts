/**
 * Decompression of whole streams, for archives that come compressed: zstd, gzip and xz.
 * @module
 */
import { createRequire } from "node:module";
import { Readable, type Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { EnvironmentError, errorMessage, FormatError, ImgtoolError } from "@imgtool/core";
import { type Codec, sniffCodec } from "./codecs.ts";

/** liblzma's memory for the stream's dictionary: `xz -9` asks for 65 MiB. */
const xzMemory: number = 128 * 1024 ** 2;

/**
 * The plain bytes of a stream that begins with a codec's mark; a stream with none comes as it is.
 * @throws FormatError `compressed-invalid`; EnvironmentError `codec-missing`
 */
export async function* decompressStream(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const iterator = bytes[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  let ended = false;
  while (head.length < 6 && !ended) {
    const { value, done } = await iterator.next();
    if (done === true) ended = true;
    else head = Buffer.concat([head, value]);
  }
  async function* whole(): AsyncGenerator<Uint8Array, void> {
    yield head;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
  }
  const codec = sniffCodec(head);
  if (codec === undefined) {
    yield* whole();
    return;
  }
  const source = Readable.from(whole(), { objectMode: false });
  const decoder = decoderOf(codec);
  // An error of the source ends the decoder, and so the loop below.
  source.once("error", (error) => decoder.destroy(error));
  source.pipe(decoder);
  try {
    for await (const piece of decoder) yield piece as Uint8Array;
  } catch (error) {
    if (error instanceof ImgtoolError) throw error;
    throw new FormatError(`the ${codec} stream is damaged or ends early: ${errorMessage(error)}`, {
      code: "compressed-invalid",
      hint: "the file is incomplete or altered: copy it again",
      cause: error,
    });
  } finally {
    source.destroy();
    decoder.destroy();
  }
}

interface Lzma {
  createStream(coder: "streamDecoder", options: { memlimit: number }): Transform;
}

function decoderOf(codec: Codec): Transform {
  if (codec === "gzip") return createGunzip();
  if (codec === "zstd") return createZstdDecompress();
  try {
    const lzma = createRequire(import.meta.url)("lzma-native") as Lzma;
    return lzma.createStream("streamDecoder", { memlimit: xzMemory });
  } catch (error) {
    throw new EnvironmentError(`xz is not available: lzma-native cannot be loaded: ${errorMessage(error)}`, {
      code: "codec-missing",
      hint: "run npm install lzma-native, or use zstd",
      cause: error,
    });
  }
}
