/**
 * Content-defined chunking, chunk ids and the chunk index file, compatible with casync. Pure: bytes
 * in, bytes out, no Node.js modules.
 * @module
 */
export { ChunkIndex, type ChunkIndexParts } from "./chunk-index.ts";
export { Cutter } from "./cutter.ts";
export {
  chunkDigest,
  defaultDigest,
  type DigestAlgorithm,
  digestAlgorithms,
  type DigestFunction,
  digestLength,
} from "./digest.ts";
export { IdTable } from "./id-table.ts";
export { CutterMemory } from "./rolling-scan.ts";
export { decodeIndex, type DecodeIndexOptions } from "./index-decode.ts";
export { encodeIndex, IndexEncoder } from "./index-encode.ts";
export { blobFlags, digestOfFlags, indexFileSize } from "./index-layout.ts";
export { type ChunkSizes, chunkSizes, discriminator, maxChunkSize, parseChunkSizes, windowSize } from "./sizes.ts";
