/**
 * The archive format of casync (`.catar`): feature flags, encoder and decoder. Pure: bytes in, bytes
 * out, no Node.js modules.
 * @module
 */
export { CatarDecoder, type CatarEvent, type DecoderOptions } from "./decoder.ts";
export { CatarEncoder } from "./encoder.ts";
export { CatarError, quoteBytes, type CatarErrorFacts } from "./errors.ts";
export * from "./flags.ts";
export { isRecordedXattr } from "./metadata-decode.ts";
export { checkFileName } from "./names.ts";
export * from "./node.ts";
export {
  encodeHeader,
  encodeRecord,
  headerSize,
  maxDepth,
  maxNameLength,
  recordTypes,
  type RecordName,
} from "./records.ts";
export { reduceMetadata } from "./reduce.ts";
export { type GoodbyeTail, goodbyeTailSize, listGoodbye, readGoodbyeTail } from "./goodbye-read.ts";
export { encodeGoodbye, goodbyeSize, hashName, type GoodbyeChild } from "./goodbye.ts";
export { sipHash24 } from "./siphash.ts";
