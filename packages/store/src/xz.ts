/**
 * xz on liblzma, synchronously: the chunk pipeline calls codecs from worker threads and must not
 * wait for the event loop between chunks.
 *
 * lzma-native is loaded at the first use, so that who never meets xz needs no native module. Its
 * stream object codes within the call (second argument of `code`) and hands the output to
 * `bufferHandler` before it returns.
 * @module
 */
import { createRequire } from "node:module";
import { EnvironmentError, FormatError, concatBytes, errorMessage } from "@imgtool/core";

interface NativeStream {
  bufferHandler: (
    output: Uint8Array | null | undefined,
    processed: number | undefined,
    error: Error | null | undefined,
    totalIn: number | null,
  ) => void;
  easyEncoder(options: { preset: number; check: number }): void;
  streamDecoder(options: { memlimit: number }): void;
  code(input: Uint8Array | null, asynchronous: boolean): void;
  resetUnderlying(): void;
}

interface Lzma {
  readonly CHECK_CRC64: number;
  readonly Stream: new () => NativeStream;
}

/**
 * liblzma's decoder takes what the stream's header asks for as a dictionary. 65 MiB are enough for
 * `xz -9`; a header that asks for 4 GiB is refused.
 */
const decoderMemory: number = 128 * 1024 ** 2;

/**
 * Input is decoded in slices, because lzma-native collects all output of one call. LZMA2 inflates up
 * to 6800-fold (64 MiB of zeros, measured), so that a bomb gets at most 7 MiB further than allowed
 * before it is stopped. Slices of 1 KiB take 2 % longer than whole chunks (measured).
 */
const decoderSlice = 1024;

let loaded: Lzma | undefined;

function lzma(): Lzma {
  if (loaded !== undefined) return loaded;
  try {
    loaded = createRequire(import.meta.url)("lzma-native") as Lzma;
    return loaded;
  } catch (error) {
    throw new EnvironmentError(`xz is not available: lzma-native cannot be loaded: ${errorMessage(error)}`, {
      code: "codec-missing",
      hint: "run npm install lzma-native, or use zstd",
      cause: error,
    });
  }
}

/** One .xz stream with CRC64, as casync and `xz` write it; `preset` is 1 to 9. */
export function compressXz(bytes: Uint8Array, preset: number): Uint8Array {
  const { Stream, CHECK_CRC64 } = lzma();
  const stream = new Stream();
  const parts: Uint8Array[] = [];
  let failure: Error | undefined;
  stream.bufferHandler = (output, _processed, error) => {
    if (error) failure = error;
    else if (output) parts.push(output);
  };
  try {
    stream.easyEncoder({ preset, check: CHECK_CRC64 });
    if (bytes.length > 0) stream.code(bytes, false);
    stream.code(null, false);
  } finally {
    stream.resetUnderlying();
  }
  if (failure !== undefined) {
    const message = `xz cannot compress: ${failure.message}`;
    throw new EnvironmentError(message, { code: "codec-failed", cause: failure });
  }
  return concatBytes(parts);
}

/**
 * The plain bytes of one .xz stream.
 * @param maxBytes the most that it may inflate to
 * @returns undefined when it would inflate further
 * @throws FormatError `compressed-invalid` when it is damaged, truncated or followed by other bytes
 */
export function decompressXz(bytes: Uint8Array, maxBytes: number): Uint8Array | undefined {
  const { Stream } = lzma();
  const stream = new Stream();
  const parts: Uint8Array[] = [];
  let length = 0;
  let consumed: number | undefined;
  let failure: Error | undefined;
  stream.bufferHandler = (output, _processed, error, totalIn) => {
    if (error) failure = error;
    else if (output === null) consumed = totalIn ?? bytes.length;
    else if (output !== undefined) {
      length += output.length;
      if (length <= maxBytes) parts.push(output);
    }
  };
  const going = (): boolean => failure === undefined && consumed === undefined && length <= maxBytes;
  try {
    stream.streamDecoder({ memlimit: decoderMemory });
    for (let offset = 0; offset < bytes.length && going(); offset += decoderSlice)
      stream.code(bytes.subarray(offset, offset + decoderSlice), false);
    if (going()) stream.code(null, false);
  } finally {
    stream.resetUnderlying();
  }
  if (length > maxBytes) return undefined;
  if (failure !== undefined) {
    throw new FormatError(`damaged xz data: ${failure.message}`, { code: "compressed-invalid", cause: failure });
  }
  if (consumed !== bytes.length) {
    throw new FormatError(`xz data ends at ${consumed ?? "no"} byte, expected the end at ${bytes.length}`, {
      code: "compressed-invalid",
      data: { expected: bytes.length, found: consumed },
    });
  }
  return concatBytes(parts);
}
