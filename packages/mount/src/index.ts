/**
 * Opens published images without extracting them.
 * @module
 */
export { type ImageExtent, ImageReader, type ImageReaderOptions } from "./image-reader.ts";
export type { NbdExport } from "./nbd-connection.ts";
export { type NbdServer, type NbdServerOptions, serveBlockDevice } from "./nbd-server.ts";
export type { FuseServerOptions } from "./fuse-server.ts";
export { mountArchive, type MountOptions } from "./mount-archive.ts";
export { prefetch, type PrefetchOptions } from "./prefetch.ts";
