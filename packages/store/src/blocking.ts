/**
 * The synchronous half of the stores, for worker threads. A thread that loads only this does not
 * wait for what the drivers need of the host: 60 ms instead of 160 (measured on a busy machine).
 * @module
 */
export { borrowCompressed, compressChunk, decompressChunk, type Compression } from "./codecs.ts";
export { isSealedChunk, maxSealedBytes, StoreCipher } from "./encrypted/cipher.ts";
export { openSyncStore, type SyncStore } from "./encrypted/sync-store.ts";
export { maxChunkBytes, maxStoredBytes } from "./limits.ts";
export { listFolder, type ListedRoot, listRoot } from "./local-list.ts";
export { openChunk } from "./read-chunk.ts";
export { SyncLocalStore, type SyncLocalStoreOptions } from "./local-files.ts";
